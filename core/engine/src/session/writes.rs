//! Sessions that got something to write while the host ran its handlers.

use std::{fmt, mem, sync::Arc};

use smallvec::SmallVec;

use crate::{layer::Layer, runtime::runtime, session::Session};

/// Up to this many sessions are written to by the calling thread itself: a wake-up would cost more.
const INLINE: usize = 4;

/// The same for sessions to which writing is no call of the system: polls, and streams that the host carries. What the
/// host has to pass on itself it gets right here, and so before it does anything else.
const INLINE_LIGHT: usize = 64;

/// How many sessions one task writes to when there are many: enough to be worth a task, few enough that several
/// threads share a broadcast.
const CHUNK: usize = 128;

/// Collects the sessions that a batch of emits and acks touched, and puts everything on the wire at its end.
///
/// Frames are queued in order at once; only the writing waits. So one batch makes one write for each session,
/// however many frames it got. Dropping it is the same as [`finish`](Self::finish).
pub struct Writes<L: Layer> {
    dirty: SmallVec<[Unflushed<L>; INLINE]>,
    /// Those among the first to which writing is no call of the system.
    light: SmallVec<[Unflushed<L>; INLINE]>,
    turn: u32,
}

/// A session that counts on whoever holds this for its next flush. Dropped without one, by a task that dies or never
/// runs, it counts on nobody any more, and its next packet asks for another.
struct Unflushed<L: Layer>(Option<Arc<Session<L>>>);

impl<L: Layer> Unflushed<L> {
    fn flush(mut self) {
        if let Some(session) = self.0.take() {
            session.flush();
        }
    }
}

impl<L: Layer> Drop for Unflushed<L> {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.flush_was_lost();
        }
    }
}

impl<L: Layer> Default for Writes<L> {
    fn default() -> Self {
        Self::in_turn(0)
    }
}

impl<L: Layer> Writes<L> {
    /// Starts an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts an empty batch that belongs with others of the same number, which is not 0: together they are one moment
    /// of the host's.
    ///
    /// A session takes one volatile event in such a moment, and none after anything else, though what the earlier
    /// batches brought has been written.
    pub fn in_turn(turn: u32) -> Self {
        Self { turn, dirty: SmallVec::new(), light: SmallVec::new() }
    }

    /// The moment that the batch belongs to; 0 if it stands alone.
    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }

    pub(crate) fn add(&mut self, session: Arc<Session<L>>) {
        self.dirty.push(Unflushed(Some(session)));
    }

    /// The same, of a session to which writing is no call of the system.
    pub(crate) fn add_light(&mut self, session: Arc<Session<L>>) {
        if self.light.len() < INLINE_LIGHT {
            self.light.push(Unflushed(Some(session)));
        } else {
            self.add(session);
        }
    }

    /// Writes: to a few sessions right here, to many on the I/O threads.
    pub fn finish(&mut self) {
        for session in mem::take(&mut self.light) {
            session.flush();
        }
        let mut dirty = mem::take(&mut self.dirty);
        if dirty.len() <= INLINE {
            for session in dirty {
                session.flush();
            }
            return;
        }
        let runtime = runtime();
        while !dirty.is_empty() {
            let rest = dirty.len().saturating_sub(CHUNK);
            let chunk: Vec<_> = dirty.drain(rest..).collect();
            // Ends by itself: writing never waits.
            runtime.spawn(async move {
                for session in chunk {
                    session.flush();
                }
            });
        }
    }
}

impl<L: Layer> Drop for Writes<L> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<L: Layer> fmt::Debug for Writes<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_dirty = &(self.dirty.len() + self.light.len());
        f.debug_struct("Writes").field("n_dirty", n_dirty).field("turn", &self.turn).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ferrio_protocol::engine::{ControlPacket, Data, Protocol, TransportKind};
    use http::{HeaderMap, Method, Uri};

    use super::*;
    use crate::{
        Admitted, Config, RequestHead, SendOptions, Server, packet::frame::Frame, request::Handshake,
    };

    struct Deaf;

    impl Layer for Deaf {
        type State = ();

        fn state(&self) {}

        fn message(_: &Arc<Session<Self>>, _: Data<'_>, _: Instant) {}
    }

    #[test]
    fn a_flush_that_is_lost_is_asked_for_again() {
        let server = Server::new(Config::default(), Deaf).unwrap();
        let head = RequestHead::new(Method::GET, Uri::from_static("/"), HeaderMap::new(), None);
        let handshake = Arc::new(Handshake::new(head));
        let opened = server.shared().open_session(
            handshake,
            Protocol::V4,
            TransportKind::Polling,
            Admitted::default(),
        );
        let session = opened.unwrap();
        let push = |writes: &mut Writes<Deaf>| {
            session.push(&Frame::control(ControlPacket::Ping).into(), SendOptions::default(), writes);
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
