//! What belongs to the process that made it.
//!
//! A forked child has a copy of all that its parent had, but none of the threads that serve it: locks may be held for
//! ever, and the descriptors are those of the parent's clients. So nothing of the parent is touched in the child, not
//! even to drop it. The package makes anew what it needs there.

use std::{
    mem,
    sync::atomic::{AtomicUsize, Ordering},
};

use pyo3::{exceptions::PyRuntimeError, prelude::*};

/// How often the interpreter was forked on the way to this process.
static N_FORKS: AtomicUsize = AtomicUsize::new(0);

/// Takes note of a fork, in the child.
#[pyfunction]
pub(crate) fn forked() {
    N_FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Something that only the process that made it can use and drop; in its children it is as if it were lost.
pub(crate) struct Own<T> {
    value: Option<T>,
    n_forks: usize,
}

impl<T> Own<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), n_forks: N_FORKS.load(Ordering::Relaxed) }
    }

    /// The value, if it is this process's.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.n_forks == N_FORKS.load(Ordering::Relaxed))
    }

    /// The value, to change it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        let is_here = self.get().is_some();
        self.value.as_mut().filter(|_| is_here)
    }

    /// The same for what the application called.
    pub(crate) fn here(&self) -> PyResult<&T> {
        self.get()
            .ok_or_else(|| PyRuntimeError::new_err("it belongs to the process that this one was forked from"))
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.get().is_none() {
            mem::forget(self.value.take());
        }
    }
}
