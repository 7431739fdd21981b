//! The number of a socket.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names a socket for the life of the process; never used twice. It fits a JavaScript number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketKey(pub u64);

impl SocketKey {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
