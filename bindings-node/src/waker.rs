//! Wakes JavaScript from any thread.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ThreadId},
};

use crate::wake_function::WakeFunction;

/// Wakes JavaScript, from any thread. It does not keep the process alive.
pub(crate) struct Waker {
    function: WakeFunction,
    /// The thread of JavaScript.
    home: ThreadId,
    /// Whether that thread is in a call that will itself tell JavaScript to drain.
    is_inside: AtomicBool,
    /// Whether it would have been woken meanwhile.
    is_due: AtomicBool,
}

impl Waker {
    /// Made on the thread of JavaScript.
    pub(crate) fn new(function: WakeFunction) -> Self {
        let home = thread::current().id();
        Self { function, home, is_inside: AtomicBool::new(false), is_due: AtomicBool::new(false) }
    }

    pub(crate) fn wake(&self) {
        // Only the home thread sets the flag, so it reads its own writes.
        if self.is_inside.load(Ordering::Relaxed) && thread::current().id() == self.home {
            self.is_due.store(true, Ordering::Relaxed);
        } else {
            self.function.call();
        }
    }

    /// Whether something has come since the home thread is [`inside`](Self::inside), or since this was last asked.
    pub(crate) fn take_due(&self) -> bool {
        self.is_due.swap(false, Ordering::Relaxed)
    }

    /// Lets go of JavaScript: it is not woken any more.
    pub(crate) fn release(&self) {
        self.function.release();
    }

    /// Acts on the home thread. Returns whether there is something to drain: no wake tells of what happened here.
    pub(crate) fn inside<T>(&self, act: impl FnOnce() -> T) -> (T, bool) {
        /// Leaves also when `act` panics: nobody would be woken ever after.
        struct Leave<'a>(&'a AtomicBool);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Relaxed);
            }
        }

        self.is_inside.store(true, Ordering::Relaxed);
        let leave = Leave(&self.is_inside);
        let result = act();
        drop(leave);
        (result, self.take_due())
    }
}
