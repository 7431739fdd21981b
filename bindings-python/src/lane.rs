//! What of one client waits for the handler at work.

use std::{collections::VecDeque, mem};

use parking_lot::Mutex;

/// What waits for a client's handler at work; `None` when there is none. Bounded by the client's share of what may be
/// under way: beyond, nothing is read from it.
pub(crate) struct Lane<D>(Mutex<Option<Waiting<D>>>);

struct Waiting<D> {
    deferred: VecDeque<D>,
    /// How many have gone on before.
    n_before: u64,
}

impl<D> Default for Lane<D> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<D> Lane<D> {
    /// Keeps something for later if it has to wait; gives it back if not.
    pub(crate) fn queue(&self, what: D) -> Option<D> {
        match &mut *self.0.lock() {
            Some(waiting) => {
                waiting.deferred.push_back(what);
                None
            }
            None => Some(what),
        }
    }

    /// Has what comes from now on wait.
    pub(crate) fn occupy(&self) {
        self.0.lock().get_or_insert_with(|| Waiting { deferred: VecDeque::new(), n_before: 0 });
    }

    /// The next that waits. When there is none, nothing has to wait any more.
    pub(crate) fn next(&self) -> Option<D> {
        let mut lane = self.0.lock();
        let next = lane.as_mut().and_then(|waiting| waiting.deferred.pop_front());
        match &mut *lane {
            Some(waiting) if next.is_some() => waiting.n_before += 1,
            _ => *lane = None,
        }
        next
    }

    /// How many handlers have had their turn since something had to wait.
    pub(crate) fn n_before(&self) -> u64 {
        self.0.lock().as_ref().map_or(0, |waiting| waiting.n_before)
    }

    /// Everything that waits, the end last, if the handler at work is the same as when `n_before` was asked. Nothing of it
    /// if that is another, and `None` if no end waits.
    pub(crate) fn leave(&self, n_before: u64, is_end: impl Fn(&D) -> bool) -> Option<VecDeque<D>> {
        let mut lane = self.0.lock();
        let waiting = lane.as_mut()?;
        if !waiting.deferred.back().is_some_and(is_end) {
            return None;
        }
        let is_same = waiting.n_before == n_before;
        Some(if is_same { mem::take(&mut waiting.deferred) } else { VecDeque::new() })
    }
}
