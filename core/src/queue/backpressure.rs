//! Back-pressure: how much may be on its way to the host, from all connections together and from each.
//!
//! Two bounds hold before a message is taken from a connection, and nothing else is held up by them: heartbeats and
//! what ends a session are taken at any time.
//!
//! - The [`Budget`] of the host's queue: what waits there, whoever sent it. When it is used up, connections with a
//!   message wait in line, and each has its turn for one message; then it goes to the end of the line.
//! - The [`Share`] of a connection: its events that wait, or whose [`Credit`] the host still holds. So one client
//!   that sends more than its handlers can take waits for itself, long before the others have to. Acks have no part in
//!   it: a handler that is at work may be waiting for one. It may also come behind more events than there is room for; so
//!   a connection whose ack the host awaits ([`Awaited`]) has a larger share, up to half of the queue.
//!
//! Both are counted in units: an event is one, a long event as many as it has bytes for. A message that is taken is
//! always queued; so the bounds may be exceeded by a message for each thread, and by what does not come from a message.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::config::Limits;

/// What it takes to keep an event, besides its bytes: its place in the queue, and the buffers' own accounts.
pub(crate) const EVENT_OVERHEAD: usize = 256;

/// What may wait on the host's queue, whoever sent it.
pub(crate) struct Budget {
    /// Units that are left. Less than none when something was queued that did not ask.
    free: AtomicIsize,
    bytes_per_unit: usize,
    /// How many stand in line, or are having their turn. While there are any, nobody gets ahead of them.
    n_in_line: AtomicUsize,
    /// The turns that were given to those in line, who take them in the order in which they came.
    turns: Semaphore,
    /// How many turns are given and not over.
    n_turns: Mutex<usize>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            free: AtomicIsize::new(limits.host_queue.cast_signed()),
            bytes_per_unit: (limits.host_queue_bytes / limits.host_queue).max(1),
            n_in_line: AtomicUsize::new(0),
            turns: Semaphore::new(0),
            n_turns: Mutex::new(0),
        }
    }

    /// How many units something of so many bytes is.
    pub(crate) fn units(&self, bytes: usize) -> usize {
        if bytes <= self.bytes_per_unit { 1 } else { bytes.div_ceil(self.bytes_per_unit) }
    }

    /// Whether a message may be taken by somebody who has not waited.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.free.load(Ordering::Acquire) > 0 && self.n_in_line.load(Ordering::Acquire) == 0
    }

    /// Waits in line until a message may be taken.
    pub(crate) async fn room(self: &Arc<Self>) -> Pass {
        let in_line = InLine::new(self);
        self.give_turns();
        match self.turns.acquire().await {
            Ok(turn) => {
                turn.forget();
                Pass(Some(in_line))
            }
            // The queue is closed: messages go nowhere, and nobody has to wait.
            Err(_) => Pass(None),
        }
    }

    pub(crate) fn take(&self, n_units: usize) {
        self.free.fetch_sub(n_units.cast_signed(), Ordering::AcqRel);
    }

    pub(crate) fn give_back(&self, n_units: usize) {
        // In one order with those of `room`: either it sees the units, or they are given to it here.
        self.free.fetch_add(n_units.cast_signed(), Ordering::SeqCst);
        if self.n_in_line.load(Ordering::SeqCst) > 0 {
            self.give_turns();
        }
    }

    /// Lets as many of those in line have their turn as there are units.
    fn give_turns(&self) {
        let mut n_turns = self.n_turns.lock();
        let n_free = usize::try_from(self.free.load(Ordering::SeqCst)).unwrap_or(0);
        let n_may = n_free.min(self.n_in_line.load(Ordering::SeqCst));
        if n_may > *n_turns {
            self.turns.add_permits(n_may - *n_turns);
            *n_turns = n_may;
        }
    }

    /// Takes back turns that were given to somebody who has left the line.
    fn take_turns_back(&self) {
        let mut n_turns = self.n_turns.lock();
        let n_too_many = n_turns.saturating_sub(self.n_in_line.load(Ordering::SeqCst));
        *n_turns -= self.turns.forget_permits(n_too_many);
    }

    /// Lets everybody go on who waits.
    pub(crate) fn close(&self) {
        self.turns.close();
    }
}

/// A place in the line.
struct InLine(Arc<Budget>);

impl InLine {
    fn new(budget: &Arc<Budget>) -> Self {
        budget.n_in_line.fetch_add(1, Ordering::SeqCst);
        Self(budget.clone())
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.n_in_line.fetch_sub(1, Ordering::SeqCst);
        self.0.take_turns_back();
    }
}

/// The turn of a connection to take one message while the queue is full. It is over when that has been queued, and so
/// has been charged for.
pub(crate) struct Pass(Option<InLine>);

impl Pass {
    /// For a message that goes nowhere: its session is over.
    pub(crate) fn free() -> Self {
        Self(None)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(in_line) = self.0.take() {
            let budget = in_line.0.clone();
            *budget.n_turns.lock() -= 1;
            drop(in_line);
            budget.give_turns();
        }
    }
}

/// What one connection may have under way. It outlives the connection where a handler never ends.
pub(crate) struct Share {
    n_used: AtomicUsize,
    max: usize,
    /// How often the host awaits an ack of this client.
    n_awaited: AtomicUsize,
    max_awaited: usize,
    /// Rung when there is room again, and when the session is over.
    changed: Notify,
}

impl Share {
    pub(crate) fn new(limits: &Limits) -> Self {
        let max = limits.host_queue_share;
        Self {
            n_used: AtomicUsize::new(0),
            max,
            n_awaited: AtomicUsize::new(0),
            max_awaited: max.max(limits.host_queue / 2),
            changed: Notify::new(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        let n_used = self.n_used.load(Ordering::Acquire);
        n_used < self.max || (n_used < self.max_awaited && self.n_awaited.load(Ordering::Acquire) > 0)
    }

    /// Whether an ack may be told that nobody may be waiting for. It has not waited for room, as no ack does.
    pub(crate) fn has_room_for_ack(&self) -> bool {
        self.n_used.load(Ordering::Acquire) < self.max_awaited
    }

    /// Waits until there is room. Returns `false` when the session is over before, as `is_open` tells.
    pub(crate) async fn room_while(&self, is_open: impl Fn() -> bool) -> bool {
        self.changed_while(is_open, Self::has_room).await
    }

    /// Waits until the session is over, as `is_open` tells.
    pub(crate) async fn ended(&self, is_open: impl Fn() -> bool) {
        self.changed_while(is_open, |_| false).await;
    }

    async fn changed_while(&self, is_open: impl Fn() -> bool, is_as_wanted: impl Fn(&Self) -> bool) -> bool {
        loop {
            // Made before the look, so that no change is missed between the two.
            let changed = self.changed.notified();
            if !is_open() {
                return false;
            }
            if is_as_wanted(self) {
                return true;
            }
            changed.await;
        }
    }

    /// Wakes those who wait: the session is over.
    pub(crate) fn end(&self) {
        self.changed.notify_waiters();
    }
}

/// The place of an event in its connection's share of what may be under way.
///
/// A host that starts a task for an event keeps its credit until the task has ended: so the tasks of one client are
/// bounded by [`host_queue_share`](Limits::host_queue_share), and a client that sends more is not read until some have
/// ended. Dropping it frees the place.
#[must_use = "dropped, it says that the event is dealt with"]
pub struct Credit {
    /// Not the connection: a handler that never ends must not keep that.
    share: Arc<Share>,
    n_units: usize,
}

impl Credit {
    /// Takes a place for an event of so many bytes.
    pub(crate) fn new(share: &Arc<Share>, budget: &Budget, bytes: usize) -> Self {
        let n_units = budget.units(EVENT_OVERHEAD + bytes);
        share.n_used.fetch_add(n_units, Ordering::AcqRel);
        Self { share: share.clone(), n_units }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        let n_before = self.share.n_used.fetch_sub(self.n_units, Ordering::AcqRel);
        // Nobody waits below that.
        if n_before >= self.share.max {
            self.share.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credit").field("n_units", &self.n_units).finish_non_exhaustive()
    }
}

/// Says that the host awaits an ack of a client, perhaps in handlers of the very events that come before it: until this
/// is dropped, the client's share of what may be under way is larger. See [`Socket::await_ack`](crate::Socket::await_ack).
#[must_use = "dropped, it says that no ack is awaited"]
pub struct Awaited(Arc<Share>);

impl Awaited {
    pub(crate) fn new(share: &Arc<Share>) -> Self {
        let share = share.clone();
        if share.n_awaited.fetch_add(1, Ordering::AcqRel) == 0 {
            share.changed.notify_waiters();
        }
        Self(share)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.n_awaited.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Awaited")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn budget(host_queue: usize) -> Arc<Budget> {
        Arc::new(Budget::new(&Limits { host_queue, host_queue_bytes: host_queue * 100, ..Limits::default() }))
    }

    #[test]
    fn something_long_is_several_units() {
        let budget = budget(16);
        assert_eq!([0, 1, 100, 101, 1000].map(|bytes| budget.units(bytes)), [1, 1, 1, 2, 10]);
    }

    #[test]
    fn what_was_taken_too_much_is_paid_back_first() {
        let budget = budget(16);
        budget.take(15);
        assert!(budget.has_room());
        budget.take(10);
        assert!(!budget.has_room());
        budget.give_back(9);
        assert!(!budget.has_room());
        budget.give_back(16);
        assert_eq!(budget.free.load(Ordering::SeqCst), 16);
    }

    #[test]
    fn those_who_wait_take_turns_and_nobody_gets_ahead_of_them() {
        let budget = budget(16);
        budget.take(16);
        let mut first = Box::pin(budget.room());
        let mut second = Box::pin(budget.room());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        budget.give_back(1);
        assert!(!budget.has_room());
        assert!(second.as_mut().now_or_never().is_none());
        let pass = first.now_or_never().expect("it is its turn");
        // Its message costs more than there is, so that the next waits until that is paid.
        budget.take(2);
        drop(pass);
        assert!(second.as_mut().now_or_never().is_none());
        budget.give_back(2);
        assert!(second.now_or_never().is_some());
        assert!(budget.has_room());
    }

    #[test]
    fn a_turn_that_nobody_takes_goes_to_the_next() {
        let budget = budget(16);
        budget.take(16);
        let mut first = Box::pin(budget.room());
        let mut second = Box::pin(budget.room());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        budget.give_back(1);
        drop(first);
        drop(second.now_or_never().expect("it is its turn"));
        assert!(budget.has_room());
        let mut third = Box::pin(budget.room());
        assert!(third.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_turn_that_nobody_is_left_for_is_gone() {
        let budget = budget(16);
        budget.take(16);
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(budget.room())).collect();
        assert!(waiting.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
        budget.give_back(2);
        drop(waiting);
        assert!(budget.has_room());
        budget.take(2);
        let mut late = Box::pin(budget.room());
        assert!(late.as_mut().now_or_never().is_none());
        budget.give_back(1);
        assert!(late.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_client_that_is_asked_has_a_larger_share() {
        let limits = Limits { host_queue: 64, host_queue_share: 4, ..Limits::default() };
        let share = Share::new(&limits);
        let has_room = |n_used, n_awaited| {
            share.n_used.store(n_used, Ordering::Release);
            share.n_awaited.store(n_awaited, Ordering::Release);
            share.has_room()
        };
        assert_eq!([has_room(3, 0), has_room(4, 0)], [true, false]);
        assert_eq!([has_room(4, 1), has_room(31, 2), has_room(32, 2)], [true, true, false]);
    }

    #[test]
    fn nobody_waits_for_a_queue_that_is_closed() {
        let budget = budget(16);
        budget.take(16);
        let mut waiting = Box::pin(budget.room());
        assert!(waiting.as_mut().now_or_never().is_none());
        budget.close();
        assert!(waiting.now_or_never().is_some());
        assert!(budget.room().now_or_never().is_some());
    }
}
