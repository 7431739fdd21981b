//! Connections that got something to write while the host ran its handlers.

use std::{fmt, mem, sync::Arc};

use smallvec::SmallVec;

use crate::{connection::Connection, runtime::runtime};

/// Up to this many connections are written to by the calling thread itself: a wake-up would cost more.
const INLINE: usize = 4;

/// The same for connections to which writing is no call of the system: polls, and streams that the host carries. What the
/// host has to pass on itself it gets right here, and so before it does anything else.
const INLINE_LIGHT: usize = 64;

/// How many connections one task writes to when there are many: enough to be worth a task, few enough that several
/// threads share a broadcast.
const CHUNK: usize = 128;

/// Collects the connections that a batch of emits and acks touched, and puts everything on the wire at its end.
///
/// Frames are queued in order at once; only the writing waits. So one batch makes one write for each connection,
/// however many frames it got. Dropping it is the same as [`finish`](Self::finish).
#[derive(Default)]
pub struct Writes {
    dirty: SmallVec<[Unflushed; INLINE]>,
    /// Those among the first to which writing is no call of the system.
    light: SmallVec<[Unflushed; INLINE]>,
    turn: u32,
}

/// A connection that counts on whoever holds this for its next flush. Dropped without one, by a task that dies or never
/// runs, it counts on nobody any more, and its next packet asks for another.
struct Unflushed(Option<Arc<Connection>>);

impl Unflushed {
    fn flush(mut self) {
        if let Some(connection) = self.0.take() {
            connection.flush();
        }
    }
}

impl Drop for Unflushed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.flush_was_lost();
        }
    }
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
        Self { turn, dirty: SmallVec::new(), light: SmallVec::new() }
    }

    /// The moment that the batch belongs to; 0 if it stands alone.
    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }

    pub(crate) fn add(&mut self, connection: Arc<Connection>) {
        self.dirty.push(Unflushed(Some(connection)));
    }

    /// The same, of a connection to which writing is no call of the system.
    pub(crate) fn add_light(&mut self, connection: Arc<Connection>) {
        if self.light.len() < INLINE_LIGHT {
            self.light.push(Unflushed(Some(connection)));
        } else {
            self.add(connection);
        }
    }

    /// Writes: to a few connections right here, to many on the I/O threads.
    pub fn finish(&mut self) {
        for connection in mem::take(&mut self.light) {
            connection.flush();
        }
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
        let n_dirty = &(self.dirty.len() + self.light.len());
        f.debug_struct("Writes").field("n_dirty", n_dirty).field("turn", &self.turn).finish()
    }
}

#[cfg(test)]
mod tests {
    use ferrio_protocol::engine::{Protocol, TransportKind};
    use http::{HeaderMap, Method, Uri};

    use super::*;
    use crate::{Config, RequestHead, Server, frame::Frame, outbox::Class, selection::Flags};

    #[test]
    fn a_flush_that_is_lost_is_asked_for_again() {
        let (server, _events) = Server::new(Config::default(), || {}).unwrap();
        let head = RequestHead::new(Method::GET, Uri::from_static("/"), HeaderMap::new(), None);
        let shared = server.shared();
        let connection = shared.open_connection(head, Protocol::V4, TransportKind::Polling).unwrap();
        let push = |writes: &mut Writes| {
            let packet = Frame::text(1, |out| out.push('2')).into();
            connection.push(&packet, Class::Control, Flags::default(), writes);
        };
        let mut lost = Writes::new();
        push(&mut lost);
        assert_eq!(lost.light.len(), 1);
        push(&mut lost);
        assert_eq!(lost.light.len(), 1, "one flush is enough");
        // As with a task that is never run.
        drop(mem::take(&mut lost.light));
        let mut writes = Writes::new();
        push(&mut writes);
        assert_eq!(writes.light.len(), 1);
    }
}
