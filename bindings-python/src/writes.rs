//! What handlers emit during a turn of the event loop is put on the wire together at its end.

use std::{mem, sync::atomic::Ordering, thread};

use ferrio::Writes;
use pyo3::prelude::*;

use crate::{bridge::Bridge, futures};

impl Bridge {
    /// Puts on the wire what was emitted, and answers the requests that waited for it.
    pub(crate) fn flush(&self, py: Python<'_>) {
        if !self.is_here() {
            return;
        }
        self.will_flush.store(false, Ordering::Release);
        let mut writes = mem::take(&mut *self.writes.lock());
        py.detach(|| writes.finish());
        futures::run_ready(py, &self.futures);
    }

    /// Lends the batch of this turn to something that sends, and sees to it that it is flushed.
    pub(crate) fn write<R>(&self, py: Python<'_>, send: impl FnOnce(&mut Writes) -> R) -> R {
        let event_loop =
            self.event_loop.lock().clone().filter(|event_loop| event_loop.thread == thread::current().id());
        if let Some(event_loop) = event_loop {
            let will_flush = self.will_flush.swap(true, Ordering::AcqRel);
            if will_flush || event_loop.call_soon.call1(py, (&event_loop.flush,)).is_ok() {
                if !will_flush {
                    self.futures.stay_awake();
                }
                return send(&mut self.writes.lock());
            }
            // A loop that is closed takes no more calls.
            self.will_flush.store(false, Ordering::Release);
        }
        let mut writes = Writes::new();
        let result = send(&mut writes);
        py.detach(move || drop(writes));
        result
    }
}
