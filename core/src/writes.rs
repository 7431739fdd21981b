//! Connections that got something to write while the host ran its handlers.

use std::{fmt, mem, sync::Arc};

use smallvec::SmallVec;

use crate::{connection::Connection, runtime::runtime};

/// Up to this many connections are written to by the calling thread itself: a wake-up would cost more.
const INLINE: usize = 4;

/// How many connections one task writes to when there are many: enough to be worth a task, few enough that several
/// threads share a broadcast.
const CHUNK: usize = 128;

/// Collects the connections that a batch of emits and acks touched, and puts everything on the wire at its end.
///
/// Frames are queued in order at once; only the writing waits. So one batch makes one write for each connection,
/// however many frames it got. Dropping it is the same as [`finish`](Self::finish).
#[derive(Default)]
pub struct Writes {
    dirty: SmallVec<[Arc<Connection>; INLINE]>,
    turn: u32,
}

impl Writes {
    /// Starts an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts an empty batch that belongs with others of the same number, which is not 0: together they are one moment
    /// of the host's.
    ///
    /// A connection takes one volatile event in such a moment, and none after anything else, though what the earlier
    /// batches brought has been written.
    pub fn in_turn(turn: u32) -> Self {
        Self { turn, dirty: SmallVec::new() }
    }

    /// The moment that the batch belongs to; 0 if it stands alone.
    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }

    pub(crate) fn add(&mut self, connection: Arc<Connection>) {
        self.dirty.push(connection);
    }

    /// Writes: to a few connections right here, to many on the I/O threads.
    pub fn finish(&mut self) {
        let mut dirty = mem::take(&mut self.dirty);
        if dirty.len() <= INLINE {
            for connection in dirty {
                connection.flush();
            }
            return;
        }
        let runtime = runtime();
        while !dirty.is_empty() {
            let rest = dirty.len().saturating_sub(CHUNK);
            let chunk: Vec<_> = dirty.drain(rest..).collect();
            // Ends by itself: writing never waits.
            runtime.spawn(async move {
                for connection in chunk {
                    connection.flush();
                }
            });
        }
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_dirty = &self.dirty.len();
        f.debug_struct("Writes").field("n_dirty", n_dirty).field("turn", &self.turn).finish()
    }
}
