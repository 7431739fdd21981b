//! Wakes JavaScript from any thread.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ThreadId},
};

use napi::{
    Result, Status,
    bindgen_prelude::Function,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use parking_lot::Mutex;

/// Wakes JavaScript, from any thread. It does not keep the process alive.
pub(crate) struct Waker {
    /// Gone when there is nothing left to wake JavaScript for.
    function: Mutex<Option<Wake>>,
    /// The thread of JavaScript.
    home: ThreadId,
    /// Whether that thread is in a call that will itself tell JavaScript to drain.
    is_inside: AtomicBool,
    /// Whether it would have been woken meanwhile.
    is_due: AtomicBool,
}

type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

impl Waker {
    pub(crate) fn new(wake: &Function<'_, (), ()>) -> Result<Self> {
        let function = wake.build_threadsafe_function().callee_handled::<false>().weak::<true>().build()?;
        let home = thread::current().id();
        let function = Mutex::new(Some(function));
        Ok(Self { function, home, is_inside: AtomicBool::new(false), is_due: AtomicBool::new(false) })
    }

    pub(crate) fn wake(&self) {
        // Only the home thread sets the flag, so it reads its own writes.
        if self.is_inside.load(Ordering::Relaxed) && thread::current().id() == self.home {
            self.is_due.store(true, Ordering::Relaxed);
        } else {
            // An environment that is ending has nobody to wake.
            if let Some(function) = &*self.function.lock() {
                function.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        }
    }

    /// Whether something has come since the home thread is [`inside`](Self::inside), or since this was last asked.
    pub(crate) fn take_due(&self) -> bool {
        self.is_due.swap(false, Ordering::Relaxed)
    }

    /// Lets go of JavaScript: it is not woken any more.
    pub(crate) fn release(&self) {
        let function = self.function.lock().take();
        drop(function);
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
