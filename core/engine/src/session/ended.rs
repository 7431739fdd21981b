//! What is still to be told to clients whose session has ended between two of their polls.
//!
//! Of such a session nothing is kept but its last packets, for as long as engine.io keeps it. Together with the open
//! sessions they are at most [`max_connections`](crate::Limits::max_connections): when a place is needed, the oldest go
//! first, and their client finds its session unknown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use ahash::HashMap;
use ferrio_protocol::engine::Protocol;
use parking_lot::Mutex;

use crate::{deadlines::DeadlineKey, packet::outbox::Outbox, session::poll::PollAnswer};

/// How long the last packets are kept, as in engine.io.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(30);

/// The sessions of a server that have ended and have something left to tell. `S` is what a session is.
pub(crate) struct EndedSessions<S>(Mutex<State<S>>);

struct State<S> {
    by_id: HashMap<Arc<str>, Ended<S>>,
    by_age: BTreeMap<DeadlineKey, Arc<str>>,
}

/// What is left of one session.
pub(crate) struct Ended<S> {
    pub(crate) protocol: Protocol,
    /// What was queued before the end, which is told first.
    pub(crate) outbox: Outbox,
    /// The session, as long as a WebSocket holds it that was being probed: the client may turn to either.
    pub(crate) session: Weak<S>,
    /// Until when this is kept.
    pub(crate) due: DeadlineKey,
    /// Tells whoever wants to know that nothing is left to tell the client, when it is dropped with the rest.
    pub(crate) _told: Option<Told>,
}

/// Calls a function when it is dropped.
pub(crate) struct Told(Box<dyn Fn() + Send + Sync>);

impl Told {
    pub(crate) fn new(tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<S> Default for EndedSessions<S> {
    fn default() -> Self {
        Self(Mutex::new(State { by_id: HashMap::default(), by_age: BTreeMap::new() }))
    }
}

impl<S> EndedSessions<S> {
    pub(crate) fn add(&self, id: Arc<str>, ended: Ended<S>) {
        let mut state = self.0.lock();
        state.by_age.insert(ended.due, id.clone());
        state.by_id.insert(id, ended);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// The protocol of a session that is kept.
    pub(crate) fn protocol(&self, id: &str) -> Option<Protocol> {
        self.0.lock().by_id.get(id).map(|ended| ended.protocol)
    }

    /// Takes one that will be told in another way, or not at all.
    pub(crate) fn take(&self, id: &str) -> Option<Ended<S>> {
        let mut state = self.0.lock();
        let ended = state.by_id.remove(id)?;
        state.by_age.remove(&ended.due);
        Some(ended)
    }

    /// Takes the oldest.
    pub(crate) fn take_oldest(&self) -> Option<Ended<S>> {
        let mut state = self.0.lock();
        let (_, id) = state.by_age.pop_first()?;
        state.by_id.remove(&id)
    }

    /// The answer to a poll: what was queued before the end, at most `max_packets` of it; or else the end, and with it
    /// what was kept, which is kept no longer.
    pub(crate) fn answer(
        &self,
        id: &str,
        supports_binary: bool,
        max_packets: usize,
    ) -> Option<(PollAnswer, Option<Ended<S>>)> {
        let mut state = self.0.lock();
        let ended = state.by_id.get_mut(id)?;
        let protocol = ended.protocol;
        // Official clients take a close before the events that came in the same answer, so those go first.
        if !ended.outbox.is_empty() {
            let answer = PollAnswer::take(protocol, &mut ended.outbox, supports_binary, max_packets);
            return Some((answer, None));
        }
        let told = state.by_id.remove(id)?;
        state.by_age.remove(&told.due);
        Some((PollAnswer::end(protocol), Some(told)))
    }

    /// Forgets those whose time is up.
    pub(crate) fn expire(&self, now: Instant) {
        loop {
            let oldest = self.0.lock().by_age.first_key_value().map(|(due, _)| due.0);
            if oldest.is_none_or(|oldest| oldest > now) {
                return;
            }
            drop(self.take_oldest());
        }
    }
}
