//! One client in one namespace.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use ferrio_engine::{Encoded, Handshake, Protocol, SendOptions, TransportKind, random_id};
use parking_lot::Mutex;

use crate::{
    Writes,
    acks::waiters::Waiters,
    key::SocketKey,
    namespace::Namespace,
    packet::encode::Encoder,
    queue::backpressure::{Awaited, Credit},
    rooms::{
        log::{Log, Restored, Session},
        room::Room,
        selection::{Flags, Selection},
        set::RoomSet,
    },
    socket_io::Connection,
};

/// One client in one namespace.
pub struct Socket {
    key: SocketKey,
    id: Arc<str>,
    namespace: Arc<Namespace>,
    connection: Arc<Connection>,
    pub(crate) stage: Mutex<Stage>,
    /// Whether the host has put it out: nothing more of it is told.
    is_dropped_by_host: AtomicBool,
    pub(crate) waiters: Mutex<Waiters>,
    pub(crate) recovery: Option<Box<Recoverable>>,
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Where a socket is in its life. An event can be sent at any time; what is sent before the client is let in
/// waits, so that it follows the CONNECT packet.
pub(crate) enum Stage {
    Pending(Waiting),
    Connected,
    Disconnected,
}

#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) events: Vec<(Encoded, Flags)>,
    pub(crate) rooms: RoomSet,
}

/// What connection state recovery needs to know of a socket.
pub(crate) struct Recoverable {
    pub(crate) private_id: Arc<str>,
    connected_at: u64,
    last_addressed: AtomicU64,
    /// The socket that this one continues.
    former: Option<SocketKey>,
}

impl Socket {
    pub(crate) fn new(
        namespace: Arc<Namespace>,
        connection: Arc<Connection>,
        id: Arc<str>,
        restored: Option<&Restored>,
    ) -> Self {
        // A client of the older protocol cannot come back.
        let is_recoverable = namespace.keeps_events() && connection.protocol() == Protocol::V4;
        let recovery = is_recoverable.then(|| {
            let mut rooms = namespace.rooms.lock();
            if let (Some(log), None) = (&mut rooms.log, restored) {
                log.client_connected();
            }
            let position = rooms.log.as_ref().map_or(0, Log::position);
            Box::new(Recoverable {
                private_id: restored
                    .map_or_else(|| Arc::from(random_id(15)), |restored| restored.session.private_id.clone()),
                connected_at: restored.map_or(position, |restored| restored.session.connected_at),
                last_addressed: AtomicU64::new(
                    restored.map_or(0, |restored| restored.session.last_addressed),
                ),
                former: restored.map(|restored| restored.session.key),
            })
        });
        Self::with_recovery(namespace, connection, id, recovery)
    }

    /// One under an id and a secret that the host has chosen.
    pub(crate) fn identified(&self, id: Arc<str>, private_id: Arc<str>) -> Self {
        let recovery =
            Recoverable { private_id, connected_at: 0, last_addressed: AtomicU64::new(0), former: None };
        let (namespace, connection) = (self.namespace.clone(), self.connection.clone());
        Self::with_recovery(namespace, connection, id, Some(Box::new(recovery)))
    }

    fn with_recovery(
        namespace: Arc<Namespace>,
        connection: Arc<Connection>,
        id: Arc<str>,
        recovery: Option<Box<Recoverable>>,
    ) -> Self {
        Self {
            key: SocketKey::next(),
            id,
            namespace,
            connection,
            stage: Mutex::new(Stage::Pending(Waiting::default())),
            is_dropped_by_host: AtomicBool::new(false),
            waiters: Mutex::default(),
            recovery,
            slot: OnceLock::new(),
        }
    }

    /// The number that names this socket.
    pub fn key(&self) -> SocketKey {
        self.key
    }

    /// The id that clients and applications see. It is not the secret id of the session.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Arc<Handshake> {
        self.connection.handshake()
    }

    /// The connection that carries it.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// What was wrong with the packet or the transport that ended the connection, if that was why, in the words of the
    /// official server where it has any.
    pub fn fault(&self) -> Option<&'static str> {
        let of_packet = self.connection.state().inbound.lock().fault;
        of_packet.or_else(|| self.connection.fault())
    }

    /// The transport in use at the moment.
    pub fn transport(&self) -> TransportKind {
        self.connection.transport()
    }

    /// Whether the client was let in and has not left.
    pub fn is_connected(&self) -> bool {
        matches!(*self.stage.lock(), Stage::Connected)
    }

    /// The key of the socket that this one continues, when its state was recovered.
    pub fn recovered(&self) -> Option<SocketKey> {
        self.recovery.as_ref()?.former
    }

    /// How packets are written for this client.
    pub(crate) fn encoder(&self) -> Encoder {
        Encoder { parser: self.namespace.server.config.parser, protocol: self.connection.protocol() }
    }

    /// A place for whatever the host keeps with the socket.
    pub fn slot(&self) -> &OnceLock<Box<dyn Any + Send + Sync>> {
        &self.slot
    }

    /// Joins rooms. Does nothing once the socket's disconnected is finished.
    pub fn join<R: Into<Room>>(&self, rooms: impl IntoIterator<Item = R>) {
        let rooms: Vec<Room> = rooms.into_iter().map(Into::into).collect();
        self.namespace.join_rooms(self, &rooms);
    }

    /// Leaves a room.
    pub fn leave(&self, room: impl Into<Room>) {
        self.namespace.leave_room(self, &room.into());
    }

    /// The rooms the socket is in, its own first.
    pub fn rooms(&self) -> Vec<Room> {
        if let Stage::Pending(waiting) = &*self.stage.lock() {
            return waiting.rooms.to_vec();
        }
        self.namespace.rooms.lock().rooms_of(self.key)
    }

    /// Whether the socket is in a room.
    pub fn is_in(&self, room: impl Into<Room>) -> bool {
        let room = room.into();
        if let Stage::Pending(waiting) = &*self.stage.lock() {
            return waiting.rooms.contains(&room);
        }
        self.namespace.rooms.lock().is_in(self.key, &room)
    }

    /// Whether a selection means the socket, though it may not be let in yet: its own room is its own from the start.
    pub fn is_meant(&self, selection: &Selection) -> bool {
        selection.means(|room| room.as_text() == Some(&self.id) || self.is_in(room.clone()))
    }

    /// Keeps rooms for later when the client is not let in yet. Returns whether it did.
    pub(crate) fn join_pending(&self, rooms: &[Room]) -> bool {
        match &mut *self.stage.lock() {
            Stage::Pending(waiting) => {
                for room in rooms {
                    waiting.rooms.insert(room.clone());
                }
                true
            }
            // One that has left is still in the room index until the host has heard of it.
            Stage::Connected | Stage::Disconnected => false,
        }
    }

    /// Forgets a room that was kept for later.
    pub(crate) fn leave_pending(&self, room: &Room) {
        if let Stage::Pending(waiting) = &mut *self.stage.lock() {
            waiting.rooms.remove(room);
        }
    }

    /// Queues an event, or keeps it until the client is let in.
    pub(crate) fn push_event(&self, packet: &Encoded, flags: Flags, writes: &mut Writes) {
        match &mut *self.stage.lock() {
            Stage::Connected => self.connection.push(packet, flags.into(), writes),
            Stage::Pending(_) if flags.volatile => {}
            Stage::Pending(waiting) => waiting.events.push((packet.clone(), flags)),
            Stage::Disconnected => {}
        }
    }

    /// Queues a packet that is not an event.
    pub(crate) fn push_control(&self, packet: &Encoded, writes: &mut Writes) {
        if self.is_connected() {
            self.connection.push(packet, SendOptions::default(), writes);
        }
    }

    /// Notes that the host has put the socket out.
    pub(crate) fn drop_by_host(&self) {
        // Seen by whoever drains after it, on this thread or another: the queue's lock lies between.
        self.is_dropped_by_host.store(true, Ordering::Release);
    }

    /// Whether the host has put the socket out.
    pub(crate) fn is_dropped_by_host(&self) -> bool {
        self.is_dropped_by_host.load(Ordering::Acquire)
    }

    /// What is kept of the socket for its return.
    pub(crate) fn session(&self, joined: Vec<Room>, position: u64) -> Option<Session> {
        let recovery = self.recovery.as_ref()?;
        let weight = joined.iter().map(Room::weight).sum();
        Some(Session {
            key: self.key,
            id: self.id.clone(),
            private_id: recovery.private_id.clone(),
            rooms: joined.into_iter().collect(),
            weight,
            connected_at: recovery.connected_at,
            last_addressed: recovery.last_addressed.load(Ordering::Relaxed),
            disconnected_at: position,
        })
    }

    /// The secret under which the session is kept when the connection is lost.
    pub(crate) fn private_id(&self) -> Option<&Arc<str>> {
        self.recovery.as_ref().map(|recovery| &recovery.private_id)
    }

    /// Notes the position of an event sent to the socket.
    pub(crate) fn addressed(&self, position: u64) {
        if let Some(recovery) = &self.recovery {
            recovery.last_addressed.store(position, Ordering::Relaxed);
        }
    }

    /// Takes a place in the client's share of what may be under way, as each of its events has one: for a handler of the
    /// host that is at work for its coming or going, which a client can have as often as it likes.
    pub fn credit(&self) -> Credit {
        Credit::new(&self.connection.state().share, &self.namespace.server.queue.budget, 0)
    }

    /// Says that the host awaits an ack of this client, until the result is dropped. For hosts that keep [`Credit`]s while
    /// handlers are at work: those may be the ones that wait, for an ack that the client has sent behind more events
    /// than may be under way.
    ///
    /// [`Credit`]: crate::Credit
    pub fn await_ack(&self) -> Awaited {
        Awaited::new(&self.connection.state().share)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id)
            .field("namespace", self.namespace.name())
            .finish_non_exhaustive()
    }
}
