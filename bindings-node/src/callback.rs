//! The one way into JavaScript: a call that wakes it, and batches of what happened.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ThreadId},
};

use bytes::Bytes;
use ferrio::{AckOutcome, AckStatus, Answer, HostEvent, Payload, Socket};
use http::Response;
use napi::{
    Env, JsString, Result, Status,
    bindgen_prelude::{BufferSlice, Function},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::{
    doors::Outgoing,
    server::{NativeServer, Questions, State},
    value,
};

/// Events taken from the core in one go.
const BATCH: usize = 256;

/// A batch ends beyond this many bytes of text, so that one turn of JavaScript stays short.
const MAX_TEXT: usize = 256 << 10;

/// Bodies of at least this many bytes cross as bytes: escaping them would cost more than a `Buffer`.
const MAX_TEXT_BODY: usize = 16 << 10;

/// Wakes JavaScript, from any thread. It does not keep the process alive.
pub(crate) struct Waker {
    /// Gone when there is nothing left to wake JavaScript for.
    function: Mutex<Option<Wake>>,
    /// The thread of JavaScript.
    home: ThreadId,
    /// Whether that thread is in a call that will itself tell JavaScript to drain.
    is_inside: AtomicBool,
    /// Whether it would have been woken meanwhile.
    is_due: AtomicBool,
}

type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

impl Waker {
    pub(crate) fn new(wake: &Function<'_, (), ()>) -> Result<Self> {
        let function = wake.build_threadsafe_function().callee_handled::<false>().weak::<true>().build()?;
        let home = thread::current().id();
        let function = Mutex::new(Some(function));
        Ok(Self { function, home, is_inside: AtomicBool::new(false), is_due: AtomicBool::new(false) })
    }

    pub(crate) fn wake(&self) {
        // Only the home thread sets the flag, so it reads its own writes.
        if self.is_inside.load(Ordering::Relaxed) && thread::current().id() == self.home {
            self.is_due.store(true, Ordering::Relaxed);
        } else {
            // An environment that is ending has nobody to wake.
            if let Some(function) = &*self.function.lock() {
                function.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        }
    }

    /// Lets go of JavaScript: it is not woken any more.
    pub(crate) fn release(&self) {
        let function = self.function.lock().take();
        drop(function);
    }

    /// Acts on the home thread. Returns whether there is something to drain: no wake tells of what happened here.
    pub(crate) fn inside<T>(&self, act: impl FnOnce() -> T) -> (T, bool) {
        self.is_inside.store(true, Ordering::Relaxed);
        let result = act();
        self.is_inside.store(false, Ordering::Relaxed);
        (result, self.is_due.swap(false, Ordering::Relaxed))
    }
}

/// The first number of a record: the same as `Kind` in `native.ts`.
#[derive(Clone, Copy)]
enum Kind {
    Event = 0,
    BinaryEvent = 1,
    Connect = 2,
    Ack = 3,
    BinaryAck = 4,
    Disconnect = 5,
    Forget = 6,
    AskRequest = 7,
    AskOrigin = 8,
    AskNamespace = 9,
    Response = 10,
    ResumeBody = 11,
    StreamData = 12,
    StreamEnd = 13,
    PortClosed = 14,
    Withdrawn = 15,
    ConnectionEnd = 16,
    ForgetRequest = 17,
}

#[napi]
impl NativeServer {
    /// Takes what happened since: a JSON array of whether more waits, whether there are binary values, and then of
    /// records of four values each.
    #[napi(catch_unwind)]
    pub fn drain<'env>(&self, env: &'env Env) -> Result<JsString<'env>> {
        let ((text, attachments), _) = self.waker.inside(|| self.take());
        self.retire();
        self.state.borrow_mut().attachments = attachments;
        value::string(env, &text)
    }

    /// The binary values that belong to the last batch.
    #[napi(catch_unwind)]
    pub fn attachments<'env>(&self, env: &'env Env) -> Result<Vec<BufferSlice<'env>>> {
        let attachments = std::mem::take(&mut self.state.borrow_mut().attachments);
        attachments.into_iter().map(|bytes| value::buffer(env, bytes)).collect()
    }
}

impl NativeServer {
    fn take(&self) -> (String, Vec<Bytes>) {
        let mut records = Records::new();
        // First of all: what the requests bring is then part of this batch.
        for outgoing in self.doors.take() {
            records.push_outgoing(outgoing);
        }
        let mut state = self.state.borrow_mut();
        let mut batch = std::mem::take(&mut state.batch);
        let mut more_waits = true;
        while more_waits && records.n < BATCH && records.text.len() < MAX_TEXT {
            more_waits = self.events.drain(BATCH, &mut batch);
            for event in batch.drain(..) {
                records.push_event(&mut state, event);
            }
        }
        state.batch = batch;
        // Requests that went on may have brought about more.
        records.finish(more_waits || self.doors.has_more())
    }
}

/// A batch being written.
struct Records {
    text: String,
    attachments: Vec<Bytes>,
    n: usize,
}

impl Records {
    fn new() -> Self {
        // The two digits are set at the end.
        Self { text: String::from("[0,0"), attachments: Vec::new(), n: 0 }
    }

    fn finish(mut self, more_waits: bool) -> (String, Vec<Bytes>) {
        self.text.push(']');
        let head = format!("[{},{}", u8::from(more_waits), u8::from(!self.attachments.is_empty()));
        self.text.replace_range(..head.len(), &head);
        (self.text, self.attachments)
    }

    /// Begins a record; the fourth value follows.
    fn begin(&mut self, kind: Kind, subject: u64, detail: i64) {
        self.n += 1;
        let _ = write!(self.text, ",{},{subject},{detail},", kind as u8);
    }

    fn push_event(&mut self, state: &mut State, event: HostEvent) {
        match event {
            HostEvent::Event { socket, payload, reply, .. } => {
                let ack = reply.map_or(-1, |reply| i64::try_from(reply.id()).unwrap_or(-1));
                let kind = if payload.attachments().is_empty() { Kind::Event } else { Kind::BinaryEvent };
                self.begin(kind, socket.key().0, ack);
                self.push_payload(&payload);
            }
            HostEvent::Ack { token, outcome } => self.push_ack(token, &outcome),
            HostEvent::Connect { socket, auth, admission } => {
                state.expect(admission);
                self.begin(Kind::Connect, socket.key().0, 0);
                self.push_connect(&socket, &auth);
            }
            HostEvent::Withdrawn { namespace, socket } => {
                self.begin(Kind::Withdrawn, socket.as_ref().map_or(0, |socket| socket.key().0), 0);
                value::push_json(&mut self.text, &namespace);
                if let Some(socket) = socket {
                    state.withdraw(socket);
                }
            }
            HostEvent::Disconnect(departure) => {
                self.begin(Kind::Disconnect, departure.socket().key().0, 0);
                value::push_json(&mut self.text, departure.reason().as_str());
                state.leave(departure);
            }
            HostEvent::ConnectionEnd { id, reason } => {
                self.begin(Kind::ConnectionEnd, 0, 0);
                value::push_json_list(&mut self.text, [&*id, reason.as_str()]);
            }
            HostEvent::Forget { key } => {
                self.begin(Kind::Forget, key.0, 0);
                self.text.push('0');
            }
            // Dropped, they are refused.
            HostEvent::Request { .. } | HostEvent::Origin { .. } | HostEvent::Namespace { .. }
                if state.is_closed => {}
            HostEvent::Request { head, answer } => {
                self.push_question(Kind::AskRequest, &mut state.requests, &head, answer);
            }
            HostEvent::Origin { head, answer } => {
                self.push_question(Kind::AskOrigin, &mut state.origins, &head, answer);
            }
            HostEvent::Namespace { name, auth, answer, .. } => {
                self.begin(Kind::AskNamespace, 0, detail(state.asked_namespaces.ask(answer)));
                self.text.push('[');
                value::push_json(&mut self.text, &name);
                self.text.push(',');
                self.push_object(&auth);
                self.text.push(']');
            }
            // Room events are switched off, and TypeScript knows no others.
            _ => {}
        }
    }

    fn push_outgoing(&mut self, outgoing: Outgoing) {
        match outgoing {
            // Still under way.
            Outgoing::Proceed { .. } => {}
            Outgoing::Response { tag, response } => {
                self.begin(Kind::Response, tag, response.status().as_u16().into());
                self.push_response(response);
            }
            Outgoing::ResumeBody { tag } => {
                self.begin(Kind::ResumeBody, tag, 0);
                self.text.push('0');
            }
            Outgoing::StreamData { tag, data } => {
                self.begin(Kind::StreamData, tag, 0);
                self.text.push('0');
                self.attachments.push(data);
            }
            Outgoing::StreamEnd { tag } => {
                self.begin(Kind::StreamEnd, tag, 0);
                self.text.push('0');
            }
            Outgoing::Forget { tag } => {
                self.begin(Kind::ForgetRequest, tag, 0);
                self.text.push('0');
            }
            Outgoing::PortClosed => {
                self.begin(Kind::PortClosed, 0, 0);
                self.text.push('0');
            }
        }
    }

    /// The body and the headers. A short text is a text for Node, too, which writes it together with the headers.
    fn push_response(&mut self, response: Response<Bytes>) {
        let (parts, body) = response.into_parts();
        self.text.push('[');
        match std::str::from_utf8(&body) {
            Ok(text) if text.len() < MAX_TEXT_BODY => value::push_json(&mut self.text, text),
            _ => {
                self.text.push_str("null");
                self.attachments.push(body);
            }
        }
        for (name, value) in &parts.headers {
            self.text.push(',');
            value::push_json(&mut self.text, name.as_str());
            self.text.push(',');
            value::push_json(&mut self.text, value.to_str().unwrap_or_default());
        }
        self.text.push(']');
    }

    fn push_connect(&mut self, socket: &Socket, auth: &Payload) {
        self.text.push('[');
        value::push_json(&mut self.text, socket.namespace().name());
        self.text.push(',');
        value::push_json(&mut self.text, socket.id());
        let _ = write!(self.text, ",{},", socket.recovered().map_or(0, |key| key.0));
        self.push_object(auth);
        let _ = write!(self.text, ",{}]", auth.attachments().len());
        self.attachments.extend_from_slice(auth.attachments());
    }

    fn push_ack(&mut self, token: u64, outcome: &AckOutcome) {
        let is_binary = outcome.answers.iter().any(|answer| !answer.attachments().is_empty());
        let status = match outcome.status {
            AckStatus::Complete => 0,
            AckStatus::TimedOut => 1,
            AckStatus::Gone => 2,
            AckStatus::TooLarge => 3,
        };
        self.begin(if is_binary { Kind::BinaryAck } else { Kind::Ack }, token, status);
        self.text.push('[');
        for (idx, answer) in outcome.answers.iter().enumerate() {
            if idx > 0 {
                self.text.push(',');
            }
            if is_binary && answer.attachments().is_empty() {
                let _ = write!(self.text, "[0,{}]", answer.text());
            } else {
                self.push_payload(answer);
            }
        }
        self.text.push(']');
    }

    /// The arguments or, with binary values, their number and the arguments.
    fn push_payload(&mut self, payload: &Payload) {
        if payload.attachments().is_empty() {
            self.text.push_str(payload.text());
            return;
        }
        let _ = write!(self.text, "[{},{}]", payload.attachments().len(), payload.text());
        self.attachments.extend_from_slice(payload.attachments());
    }

    /// What a client sent along; without anything, an empty object.
    fn push_object(&mut self, payload: &Payload) {
        self.text.push_str(if payload.is_empty() { "{}" } else { payload.text() });
    }

    fn push_question<T>(
        &mut self,
        kind: Kind,
        questions: &mut Questions<T>,
        head: &ferrio::RequestHead,
        answer: Answer<T>,
    ) {
        self.begin(kind, value::tag_of(head), detail(questions.ask(answer)));
        self.text.push('{');
        value::push_head(&mut self.text, head);
        self.text.push('}');
    }
}

fn detail(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
