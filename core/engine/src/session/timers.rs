//! What a session does at a certain time, besides what its state machine knows: heartbeat and upgrade.

use std::time::Instant;

/// Something that a session does later. [`Session::fire`](super::Session) says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A WebSocket that this side has closed has had its time to write what it still had: it is dropped.
    CloseLimit,
    /// The pause behind a packet that leaves alone is over: what was kept back is written.
    Pause,
    /// A poll that came in the middle of an upgrade has waited long enough for its end: it is answered with a noop.
    LatePoll,
    /// The layer asked to be woken.
    Layer,
}

impl Timer {
    const ALL: [Self; 4] = [Self::CloseLimit, Self::Pause, Self::LatePoll, Self::Layer];
}

/// When each is due, if it is.
#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes one that is due. Left in the past, it would be due again at once.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let mut is_due = |timer: &Timer| self.0[*timer as usize].take_if(|at| *at <= now).is_some();
        Timer::ALL.into_iter().find(|timer| is_due(timer))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_is_taken_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set(Timer::Pause, at(3));
        timers.set(Timer::Layer, at(2));
        timers.set(Timer::CloseLimit, at(5));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.take_due(at(1)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(at(3))).collect();
        assert_eq!(due, [Timer::Pause, Timer::Layer]);
        assert!(timers.is_set(Timer::CloseLimit) && !timers.is_set(Timer::Pause));
        timers.clear(Timer::CloseLimit);
        assert_eq!((timers.next(), timers.take_due(at(9))), (None, None));
    }
}
