//! What a cluster adds to a namespace.

use std::{fmt, pin::Pin, sync::Arc, time::Instant};

use crate::{
    acks::waiters::Collect,
    packet::payload::Payload,
    rooms::{
        room::Room,
        selection::{Flags, Selection},
    },
};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tells the other nodes of a cluster what was asked of a namespace, and asks them for what they have.
///
/// The local part is never up to an adapter: the namespace has always served its own sockets before, so that a slow
/// or broken network cannot keep an event from a local receiver. Methods that return nothing must not block; those
/// that return a future end by their deadline, with what came until then.
///
/// What other nodes ask of this one comes in by the namespace (`N`: [`Namespace`](crate::Namespace)) given to [`start`](Self::start), with
/// [`Flags::local`] set so that it is not sent out again. No lock is held while a method runs.
pub trait Adapter<N>: Send + Sync + 'static {
    /// Begins to work for a namespace. Called once, before anything else.
    fn start(&self, namespace: &Arc<N>);

    /// An event for sockets of other nodes. `payload` is an event's: its name and arguments.
    fn broadcast(&self, selection: &Selection, payload: &Payload, flags: Flags);

    /// As [`broadcast`](Self::broadcast), with acks. Every node says how many sockets it asked; answers go to
    /// `acks` as they come.
    fn broadcast_with_ack(
        &self,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        deadline: Option<Instant>,
        acks: RemoteAcks,
    );

    /// Sockets of other nodes join rooms.
    fn join(&self, selection: &Selection, rooms: &[Room]);

    /// Sockets of other nodes leave rooms.
    fn leave(&self, selection: &Selection, rooms: &[Room]);

    /// Sockets of other nodes are disconnected, or their whole connections closed.
    fn disconnect(&self, selection: &Selection, close: bool);

    /// Describes sockets of other nodes.
    fn fetch<'a>(
        &'a self,
        selection: &'a Selection,
        deadline: Instant,
    ) -> BoxFuture<'a, Gathered<RemoteSocket>>;

    /// An event for the other servers themselves, with an answer of each if `wants_answers`.
    fn server_side_emit<'a>(
        &'a self,
        payload: &'a Payload,
        wants_answers: bool,
        deadline: Instant,
    ) -> BoxFuture<'a, Gathered<Payload>>;

    /// How many nodes serve the namespace, this one included.
    fn n_nodes(&self) -> BoxFuture<'_, usize>;

    /// Whether [`room_changed`](Self::room_changed) shall be called. Default `false`. Asked once.
    fn wants_room_changes(&self) -> bool {
        false
    }

    /// A room got its first local member, or lost its last: adapters that subscribe by room want to know. The calls come
    /// one at a time, in the order of the changes, shortly after them.
    fn room_changed(&self, room: &Room, exists: bool) {
        let _ = (room, exists);
    }

    /// Ends the work for the namespace.
    fn close(&self);
}

/// What other nodes answered in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered<T> {
    /// The answers.
    pub answers: Vec<T>,
    /// How many nodes did not answer in time.
    pub n_missing: usize,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self { answers: Vec::new(), n_missing: 0 }
    }
}

/// A socket of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSocket {
    /// Its id.
    pub id: Arc<str>,
    /// Its rooms.
    pub rooms: Vec<Room>,
    /// Its handshake, as JSON text in socket.io's form.
    pub handshake: String,
    /// What its host keeps with it, as JSON text.
    pub data: String,
}

/// Where the acks of other nodes' sockets go.
#[derive(Debug, Clone)]
pub struct RemoteAcks {
    pub(crate) collector: Arc<dyn Collect>,
    pub(crate) n_local: usize,
}

impl RemoteAcks {
    /// Says how many sockets other nodes have asked, once it is known.
    pub fn expect(&self, n_asked: usize) {
        self.collector.expect(self.n_local + n_asked);
    }

    /// Takes one answer.
    pub fn answer(&self, payload: Payload) {
        self.collector.answer(payload);
    }
}

/// The adapter of a server that is alone.
#[derive(Debug, Default)]
pub struct InMemory;

impl<N> Adapter<N> for InMemory {
    fn start(&self, _: &Arc<N>) {}
    fn broadcast(&self, _: &Selection, _: &Payload, _: Flags) {}
    fn broadcast_with_ack(&self, _: &Selection, _: &Payload, _: Flags, _: Option<Instant>, acks: RemoteAcks) {
        acks.expect(0);
    }
    fn join(&self, _: &Selection, _: &[Room]) {}
    fn leave(&self, _: &Selection, _: &[Room]) {}
    fn disconnect(&self, _: &Selection, _: bool) {}
    fn fetch<'a>(&'a self, _: &'a Selection, _: Instant) -> BoxFuture<'a, Gathered<RemoteSocket>> {
        Box::pin(async { Gathered::default() })
    }
    fn server_side_emit<'a>(
        &'a self,
        _: &'a Payload,
        _: bool,
        _: Instant,
    ) -> BoxFuture<'a, Gathered<Payload>> {
        Box::pin(async { Gathered::default() })
    }
    fn n_nodes(&self) -> BoxFuture<'_, usize> {
        Box::pin(async { 1 })
    }
    fn close(&self) {}
}

impl<N> fmt::Debug for dyn Adapter<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adapter")
    }
}
