//! Gathers the acks of an emit to many sockets.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use ferrio_engine::{DeadlineKey, Due, Expire};

use crate::{
    acks::{AckOutcome, AckStatus, waiters::Collect},
    event::HostEvent,
    packet::payload::Payload,
    socket_io::SocketIo,
};

/// Gathers the answers of a broadcast.
#[derive(Debug)]
pub(crate) struct Collector {
    server: Arc<SocketIo>,
    token: u64,
    /// Whether the wait ends at a certain time.
    has_deadline: bool,
    /// Whether the outcome has been reported. Only set while `state` is locked.
    is_over: AtomicBool,
    state: Mutex<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    answers: Vec<Payload>,
    /// What they weigh.
    bytes: usize,
    /// How many are still to come, of this node and of others; `None` until everyone has been asked.
    n_due: Option<usize>,
    n_early: usize,
    deadline: Option<DeadlineKey>,
}

impl Gathered {
    /// Counts one that is no longer due, and returns whether it was the last.
    fn count_one(&mut self) -> bool {
        match &mut self.n_due {
            None => self.n_early += 1,
            Some(n_due) => *n_due = n_due.saturating_sub(1),
        }
        self.n_due == Some(0)
    }
}

impl Collector {
    /// Begins to wait, until a certain time if one is given.
    pub(crate) fn new(server: Arc<SocketIo>, token: u64, until: Option<Instant>) -> Arc<Self> {
        let collector = Arc::new(Self {
            server,
            token,
            has_deadline: until.is_some(),
            is_over: AtomicBool::new(false),
            state: Mutex::default(),
        });
        if let Some(until) = until {
            let deadline = collector.server.deadlines.add(until, Due::Strong(collector.clone(), 0));
            // One that is up already finds nothing to cancel.
            collector.state.lock().deadline = Some(deadline);
        }
        collector
    }

    /// Takes a part of what all collectors together may hold. Returns whether there was enough left.
    fn reserve(&self, bytes: usize) -> bool {
        let max = self.server.config.limits.max_total_ack_bytes;
        let hold = |held: usize| held.checked_add(bytes).filter(|held| *held <= max);
        // Relaxed: a sum that is compared with a bound, and guards no other memory.
        self.server.ack_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, hold).is_ok()
    }

    fn release(&self, bytes: usize) {
        self.server.ack_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Reports the answers so far.
    fn timed_out(&self) {
        let state = self.state.lock();
        if !self.is_over() {
            self.server.counters.acks_timed_out.add(1);
            self.finish(state, AckStatus::TimedOut);
        }
    }

    fn finish(&self, state: parking_lot::MutexGuard<'_, Gathered>, status: AckStatus) {
        // From here on the host's queue counts them.
        if let Some(answers) = self.end(state) {
            let outcome = AckOutcome { answers, status };
            self.server.queue.push(HostEvent::Ack { token: self.token, outcome });
        }
    }

    /// Ends the wait, and returns the answers; `None` when it had ended before.
    fn end(&self, mut state: parking_lot::MutexGuard<'_, Gathered>) -> Option<Vec<Payload>> {
        // Relaxed: written under the lock of `state`, and whoever reads it without gets to know later.
        if self.is_over.swap(true, Ordering::Relaxed) {
            return None;
        }
        let answers = std::mem::take(&mut state.answers);
        self.release(std::mem::take(&mut state.bytes));
        let deadline = state.deadline.take();
        drop(state);
        if let Some(deadline) = deadline {
            self.server.deadlines.cancel(deadline);
        }
        Some(answers)
    }
}

impl Collect for Collector {
    fn expect(&self, n_asked: usize) {
        let mut state = self.state.lock();
        state.n_due = Some(n_asked.saturating_sub(state.n_early));
        if state.n_due == Some(0) {
            self.finish(state, AckStatus::Complete);
        }
    }

    fn answer(&self, payload: Payload) {
        let mut state = self.state.lock();
        if self.is_over() {
            drop(state);
            self.server.counters.acks_unexpected.add(1);
            return;
        }
        let weight = weight(&payload);
        if state.bytes + weight > self.server.config.limits.max_ack_bytes || !self.reserve(weight) {
            return self.finish(state, AckStatus::TooLarge);
        }
        state.bytes += weight;
        state.answers.push(payload);
        if state.count_one() {
            self.finish(state, AckStatus::Complete);
        }
    }

    fn gone(&self) {
        let mut state = self.state.lock();
        if state.count_one() {
            self.finish(state, AckStatus::Complete);
        }
    }

    fn has_deadline(&self) -> bool {
        self.has_deadline
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

impl Expire for Collector {
    fn expired(self: Arc<Self>, _: u64, _: DeadlineKey, _: Instant) {
        self.timed_out();
    }

    fn server_closed(self: Arc<Self>, _: u64) -> bool {
        self.timed_out();
        false
    }
}

/// The acks of an emit to many sockets, on their way.
#[derive(Debug)]
pub struct Gathering(Weak<Collector>);

impl Gathering {
    pub(crate) fn new(collector: &Arc<Collector>) -> Self {
        Self(Arc::downgrade(collector))
    }

    /// Ends the wait for them; nothing is reported.
    pub fn forget(&self) {
        if let Some(collector) = self.0.upgrade() {
            let answers = collector.end(collector.state.lock());
            drop(answers);
        }
    }
}

impl Drop for Collector {
    /// Nobody is left who could answer.
    fn drop(&mut self) {
        let bytes = self.state.get_mut().bytes;
        self.release(bytes);
    }
}

/// What it takes to keep an answer.
fn weight(answer: &Payload) -> usize {
    answer.len() + PIECE_OVERHEAD * (1 + answer.attachments().len())
}

/// What it takes to keep a text or an attachment, besides its bytes: its places in lists, and the buffer's own
/// accounts. Without it many tiny answers would be kept for nothing.
const PIECE_OVERHEAD: usize = 96;
