//! What an observer is shown of a server, on its way there: nothing is noted while nobody observes.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// So many events wait for an observer, with so many bytes. Further ones are left out.
const MAX_EVENTS: usize = 4096;
const MAX_EVENT_BYTES: usize = 4 << 20;

/// So many notes of any kind wait for an observer. Further ones are left out, and it is told so: it has to look anew who is
/// there.
const MAX_NOTES: usize = 16 << 10;

/// Notes that wait for an observer, in the order in which things happened.
pub(crate) struct Tap<T> {
    is_on: AtomicBool,
    notes: Mutex<Notes<T>>,
    noted: Notify,
}

struct Notes<T> {
    waiting: VecDeque<T>,
    n_events: usize,
    n_event_bytes: usize,
    has_lost: bool,
}

impl<T> Default for Notes<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), n_events: 0, n_event_bytes: 0, has_lost: false }
    }
}

impl<T> Default for Tap<T> {
    fn default() -> Self {
        Self { is_on: AtomicBool::new(false), notes: Mutex::default(), noted: Notify::new() }
    }
}

impl<T> Tap<T> {
    /// Whether anybody observes.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Begins or ends to note. What waits is forgotten.
    pub(crate) fn switch(&self, is_on: bool) {
        let mut notes = self.notes.lock();
        self.is_on.store(is_on, Ordering::Relaxed);
        let forgotten = mem::take(&mut *notes);
        drop(notes);
        drop(forgotten);
    }

    /// Notes that somebody came, went or changed.
    #[cold]
    pub(crate) fn note(&self, note: T) {
        let mut notes = self.notes.lock();
        if !self.is_on() {
            return;
        }
        if notes.waiting.len() < MAX_NOTES {
            notes.waiting.push_back(note);
        } else {
            notes.has_lost = true;
        }
        drop(notes);
        self.noted.notify_one();
    }

    /// Notes an event of so many bytes.
    #[cold]
    pub(crate) fn note_event(&self, n_bytes: usize, event: impl FnOnce() -> T) {
        let mut notes = self.notes.lock();
        if !self.is_on() || notes.n_events >= MAX_EVENTS || notes.n_event_bytes >= MAX_EVENT_BYTES {
            return;
        }
        notes.n_events += 1;
        notes.n_event_bytes += n_bytes;
        notes.waiting.push_back(event());
        drop(notes);
        self.noted.notify_one();
    }

    /// Returns when something waits.
    pub(crate) async fn noted(&self) {
        self.noted.notified().await;
    }

    /// What waits, and whether something was left out that was no event.
    pub(crate) fn take(&self) -> (VecDeque<T>, bool) {
        let notes = mem::take(&mut *self.notes.lock());
        (notes.waiting, notes.has_lost)
    }
}

impl<T> fmt::Debug for Tap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_nothing_while_nobody_observes() {
        let tap = Tap::default();
        tap.note(1);
        tap.switch(true);
        tap.note(2);
        assert_eq!(tap.take(), (VecDeque::from([2]), false));
        tap.note(3);
        tap.switch(false);
        assert_eq!(tap.take(), (VecDeque::new(), false));
    }

    #[test]
    fn leaves_events_out_before_anything_else() {
        let tap = Tap::default();
        tap.switch(true);
        for n in 0..2 * MAX_EVENTS {
            tap.note_event(1, || n);
        }
        tap.note(usize::MAX);
        let (notes, has_lost) = tap.take();
        assert_eq!((notes.len(), notes.back(), has_lost), (MAX_EVENTS + 1, Some(&usize::MAX), false));
        tap.note_event(MAX_EVENT_BYTES, || 0);
        tap.note_event(1, || 1);
        assert_eq!(tap.take(), (VecDeque::from([0]), false));
        for n in 0..=MAX_NOTES {
            tap.note(n);
        }
        let (notes, has_lost) = tap.take();
        assert_eq!((notes.len(), has_lost), (MAX_NOTES, true));
        assert_eq!(tap.take(), (VecDeque::new(), false));
    }
}
