//! The one way into JavaScript: batches of what happened, which it takes when it is woken.

use ferrio_host::TURN_EVENTS;
use napi::{
    Env, JsString, Result,
    bindgen_prelude::{BufferSlice, Either},
};
use napi_derive::napi;

use crate::{crossing::Beside, records::Records, server::NativeServer, value};

#[napi]
impl NativeServer {
    /// Takes what happened since: a JSON array of whether more waits, whether something crosses beside it, and then of
    /// records of four values each.
    #[napi(catch_unwind)]
    pub fn drain<'env>(&self, env: &'env Env) -> Result<JsString<'env>> {
        let ((text, beside), _) = self.waker.inside(|| self.take());
        self.retire();
        self.state.borrow_mut().crossing.beside = beside;
        value::string(env, &text)
    }

    /// The same, of what is for Node's HTTP server alone, which may be told in the middle of anything.
    #[napi(catch_unwind)]
    pub fn drain_carried<'env>(&self, env: &'env Env) -> Result<JsString<'env>> {
        let ((text, beside), _) = self.waker.inside(|| self.take_carried());
        self.state.borrow_mut().crossing.beside = beside;
        value::string(env, &text)
    }

    /// The texts and binary values beside the last batch. In the place of what JavaScript cannot hold there is nothing.
    #[napi(catch_unwind)]
    pub fn beside<'env>(&self, env: &'env Env) -> Vec<Option<Either<JsString<'env>, BufferSlice<'env>>>> {
        let beside = std::mem::take(&mut self.state.borrow_mut().crossing.beside);
        let cross = |beside| match beside {
            Beside::Text(payload) => value::string(env, payload.text()).map(Either::A),
            Beside::Message(text) => value::string(env, &text).map(Either::A),
            Beside::Bytes(bytes) => value::buffer(env, bytes).map(Either::B),
        };
        beside.into_iter().map(|beside| cross(beside).ok()).collect()
    }
}

impl NativeServer {
    fn take(&self) -> (String, Vec<Beside>) {
        let mut records = Records::new();
        // First of all: what the requests bring is then part of this batch.
        let outgoing = self.entry_points.take();
        let mut state = self.state.borrow_mut();
        // Taken out for a while, because records need the rest of the state.
        let mut crossing = std::mem::take(&mut state.crossing);
        crossing.outgoing.extend(outgoing);
        records.push_carried(&mut crossing.outgoing);
        for report in crossing.reports.drain(..) {
            records.push_report(report);
        }
        let mut more_waits = true;
        while !records.is_full() {
            if let Some(event) = crossing.events.pop_front() {
                records.push_event(&mut state, event);
            } else if more_waits || self.waker.take_due() {
                // Carrying records may bring about more, of which no wake tells. Neither way copies, as it is empty here.
                let mut batch = Vec::from(std::mem::take(&mut crossing.events));
                more_waits = self.events.drain(TURN_EVENTS, &mut batch);
                crossing.events = batch.into();
            } else {
                break;
            }
        }
        more_waits |= !crossing.events.is_empty() || !crossing.outgoing.is_empty() || self.waker.take_due();
        state.crossing = crossing;
        // Requests that went on may have brought about more.
        records.finish(more_waits || self.entry_points.has_more())
    }

    fn take_carried(&self) -> (String, Vec<Beside>) {
        let mut records = Records::new();
        let outgoing = self.entry_points.take();
        let waiting = &mut self.state.borrow_mut().crossing.outgoing;
        waiting.extend(outgoing);
        records.push_carried(waiting);
        // Whoever asks has more to take in any case.
        records.finish(true)
    }
}
