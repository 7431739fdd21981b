//! How much of earlier messages is kept for all connections together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The memory of one server. Cloning it gives another handle.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    reserved: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Shared { max, reserved: AtomicUsize::new(0) }))
    }

    /// A share without anything in it.
    pub(crate) fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }

    /// Bytes that are reserved.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.0.reserved.load(Ordering::Relaxed)
    }
}

/// What one user of the memory has reserved. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Memory,
    bytes: usize,
}

impl Share {
    /// Reserves so many bytes, of which it may have some already. Returns whether there is room for them.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        let Shared { max, reserved } = &*self.memory.0;
        let reserve = |reserved: usize| reserved.checked_add(more).filter(|sum| sum <= max);
        let is_reserved = reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok();
        if is_reserved {
            self.bytes = bytes;
        }
        is_reserved
    }

    /// Gives everything back.
    pub(crate) fn give_back(&mut self) {
        self.memory.0.reserved.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_reserved_than_there_is_and_all_is_given_back() {
        let memory = Memory::new(100);
        let (mut first, mut second) = (memory.share(), memory.share());
        assert!(first.grow_to(60) && second.grow_to(40));
        assert!(!second.grow_to(41));
        assert!(second.grow_to(40) && second.grow_to(7), "it has them already");
        assert_eq!(memory.reserved(), 100);
        drop(first);
        assert!(second.grow_to(100));
        drop(second);
        assert_eq!(memory.reserved(), 0);
    }
}
