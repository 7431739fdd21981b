//! Passes on the acks of an emit to many sockets, each as it comes.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use ferrio_engine::{DeadlineKey, Due, Expire};

use crate::{
    acks::{AckOutcome, AckStatus, waiters::Collect},
    event::HostEvent,
    packet::payload::Payload,
    socket_io::SocketIo,
};

/// Reports every answer to a broadcast by itself, and at last that no more will come: when its time is up, or when it is
/// dropped, because those who wait for answers of their clients hold it. It keeps none, so nothing has to bound them but
/// the host's queue.
#[derive(Debug)]
pub(crate) struct Relay {
    server: Arc<SocketIo>,
    token: u64,
    deadline: OnceLock<DeadlineKey>,
    is_over: AtomicBool,
    n_asked: AtomicUsize,
}

impl Relay {
    /// Begins to wait, until a certain time if one is given.
    pub(crate) fn new(server: Arc<SocketIo>, token: u64, until: Option<Instant>) -> Arc<Self> {
        let relay = Arc::new(Self {
            server,
            token,
            deadline: OnceLock::new(),
            is_over: AtomicBool::new(false),
            n_asked: AtomicUsize::new(0),
        });
        if let Some(until) = until {
            let weak: Weak<Self> = Arc::downgrade(&relay);
            let key = relay.server.deadlines.add(until, Due::Weak(weak, 0));
            relay.deadline.get_or_init(|| key);
        }
        relay
    }

    /// How many sockets were asked.
    pub(crate) fn n_asked(&self) -> usize {
        self.n_asked.load(Ordering::Relaxed)
    }

    fn report(&self, answers: Vec<Payload>, status: AckStatus) {
        let outcome = AckOutcome { answers, status };
        self.server.queue.push(HostEvent::Ack { token: self.token, outcome });
    }

    /// Reports the end, once.
    fn end(&self, status: AckStatus) {
        // Relaxed: an answer that is on its way at this moment may be reported behind it, and is passed over then.
        if !self.is_over.swap(true, Ordering::Relaxed) {
            self.report(Vec::new(), status);
        }
    }
}

impl Collect for Relay {
    fn expect(&self, n_asked: usize) {
        self.n_asked.store(n_asked, Ordering::Relaxed);
    }

    fn answer(&self, payload: Payload) {
        if self.is_over() {
            self.server.counters.acks_unexpected.add(1);
        } else {
            self.report(vec![payload], AckStatus::OneOfMany);
        }
    }

    fn gone(&self) {}

    fn has_deadline(&self) -> bool {
        self.deadline.get().is_some()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(deadline) = self.deadline.take() {
            self.server.deadlines.cancel(deadline);
        }
        self.end(AckStatus::Complete);
    }
}

impl Expire for Relay {
    fn expired(self: Arc<Self>, _: u64, _: DeadlineKey, _: Instant) {
        self.end(AckStatus::TimedOut);
    }

    fn server_closed(self: Arc<Self>, _: u64) -> bool {
        self.end(AckStatus::TimedOut);
        false
    }
}
