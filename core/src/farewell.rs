//! What is still to be told to clients whose session has ended between two of their polls.
//!
//! Of such a session nothing is kept but its last words, for as long as engine.io keeps it. Together with the open
//! sessions they are at most [`max_connections`](crate::config::Limits::max_connections): when a place is needed, the
//! oldest last words go first, and their client finds its session unknown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use ahash::HashMap;
use ferrio_protocol::engine::Protocol;
use parking_lot::Mutex;

use crate::{connection::Connection, deadlines::DeadlineKey, outbox::Outbox, polling::PollAnswer};

/// How long last words are kept, as in engine.io.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(30);

/// The last words of a server's sessions.
#[derive(Default)]
pub(crate) struct Farewells(Mutex<State>);

#[derive(Default)]
struct State {
    by_id: HashMap<Arc<str>, Farewell>,
    by_age: BTreeMap<DeadlineKey, Arc<str>>,
}

/// The last words of one session.
pub(crate) struct Farewell {
    pub(crate) protocol: Protocol,
    /// What was queued before the end, which is told first.
    pub(crate) outbox: Outbox,
    /// The connection, as long as a WebSocket holds it that was being probed: the client may turn to either.
    pub(crate) connection: Weak<Connection>,
    /// Until when they are kept.
    pub(crate) due: DeadlineKey,
}

impl Farewells {
    pub(crate) fn add(&self, id: Arc<str>, farewell: Farewell) {
        let mut state = self.0.lock();
        state.by_age.insert(farewell.due, id.clone());
        state.by_id.insert(id, farewell);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// The protocol of a session that has last words.
    pub(crate) fn protocol(&self, id: &str) -> Option<Protocol> {
        self.0.lock().by_id.get(id).map(|farewell| farewell.protocol)
    }

    /// Takes last words that will be told in another way, or not at all.
    pub(crate) fn take(&self, id: &str) -> Option<Farewell> {
        let mut state = self.0.lock();
        let farewell = state.by_id.remove(id)?;
        state.by_age.remove(&farewell.due);
        Some(farewell)
    }

    /// Takes the oldest last words.
    pub(crate) fn take_oldest(&self) -> Option<Farewell> {
        let mut state = self.0.lock();
        let (_, id) = state.by_age.pop_first()?;
        state.by_id.remove(&id)
    }

    /// The answer to a poll: what was queued before the end, at most `max_packets` of it; or else the end, and with it
    /// the last words, which are no longer kept.
    pub(crate) fn answer(
        &self,
        id: &str,
        supports_binary: bool,
        max_packets: usize,
    ) -> Option<(PollAnswer, Option<Farewell>)> {
        let mut state = self.0.lock();
        let farewell = state.by_id.get_mut(id)?;
        let protocol = farewell.protocol;
        // Official clients take a close before the events that came in the same answer, so those go first.
        if !farewell.outbox.is_empty() {
            let answer = PollAnswer::take(protocol, &mut farewell.outbox, supports_binary, max_packets);
            return Some((answer, None));
        }
        let told = state.by_id.remove(id)?;
        state.by_age.remove(&told.due);
        Some((PollAnswer::end(protocol), Some(told)))
    }
}
