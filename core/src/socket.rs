//! One client in one namespace.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    ack::{AckOutcome, AckStatus, Collector},
    backpressure::{Awaited, Credit},
    connection::Connection,
    deadlines::Due,
    departure::Departure,
    emit::{self, AckRequest},
    frame::Encoded,
    handshake::Handshake,
    ids::random_id,
    namespace::Namespace,
    outbox::Class,
    payload::Payload,
    queue::HostEvent,
    reason::DisconnectReason,
    recovery::{Log, Restored, Session},
    room::Room,
    room_set::RoomSet,
    selection::{Flags, Selection},
    waiters::{Waiter, Waiters},
    writes::Writes,
};
use ferrio_protocol::engine::{Protocol, TransportKind};

/// Names a socket for the life of the process; never used twice. It fits a JavaScript number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketKey(pub u64);

impl SocketKey {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One client in one namespace.
pub struct Socket {
    key: SocketKey,
    id: Arc<str>,
    namespace: Arc<Namespace>,
    connection: Arc<Connection>,
    stage: Mutex<Stage>,
    /// Whether the host has put it out: nothing more of it is told.
    is_put_out: AtomicBool,
    waiters: Mutex<Waiters>,
    recovery: Option<Box<Recoverable>>,
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Where a socket is in its life. An event can be sent at any time; what is sent before the client is let in
/// waits, so that it follows the CONNECT packet.
enum Stage {
    Pending(Waiting),
    Connected,
    Left,
}

#[derive(Default)]
struct Waiting {
    events: Vec<(Encoded, Flags)>,
    rooms: RoomSet,
}

/// What connection state recovery needs to know of a socket.
struct Recoverable {
    private_id: Arc<str>,
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
        let is_recoverable = namespace.keeps_events && connection.protocol() == Protocol::V4;
        let recovery = is_recoverable.then(|| {
            let mut rooms = namespace.rooms.lock();
            if let (Some(log), None) = (&mut rooms.log, restored) {
                log.client_came();
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
        Self {
            key: SocketKey::next(),
            id,
            namespace,
            connection,
            stage: Mutex::new(Stage::Pending(Waiting::default())),
            is_put_out: AtomicBool::new(false),
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

    /// A place for whatever the host keeps with the socket.
    pub fn slot(&self) -> &OnceLock<Box<dyn Any + Send + Sync>> {
        &self.slot
    }

    /// Sends an event to this client.
    pub fn emit(self: &Arc<Self>, payload: &Payload, flags: Flags, writes: &mut Writes) {
        emit::to_socket(self, payload, flags, writes);
    }

    /// Sends an event to this client, and reports its ack as [`HostEvent::Ack`].
    pub fn emit_with_ack(
        self: &Arc<Self>,
        payload: &Payload,
        flags: Flags,
        ack: AckRequest,
        writes: &mut Writes,
    ) {
        emit::to_socket_with_ack(self, payload, flags, ack, writes);
    }

    /// Joins rooms. Does nothing once the socket's departure is finished.
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

    /// Puts the client out of the namespace, or closes its whole connection.
    ///
    /// Returns the sockets that leave by it, this one first; the caller reports them to the application, which in
    /// socket.io hears of them before the call returns. They do not come by the queue as well.
    pub fn disconnect(self: &Arc<Self>, close: bool, writes: &mut Writes) -> Vec<Departure> {
        if close {
            return self.connection.disconnect_all(writes);
        }
        self.connection.disconnect(self, writes).into_iter().collect()
    }

    /// Keeps rooms for later when the client is not let in yet. Returns whether it did.
    pub(crate) fn join_later(&self, rooms: &[Room]) -> bool {
        match &mut *self.stage.lock() {
            Stage::Pending(waiting) => {
                for room in rooms {
                    waiting.rooms.insert(room.clone());
                }
                true
            }
            // One that has left is still in the room index until the host has heard of it.
            Stage::Connected | Stage::Left => false,
        }
    }

    /// Forgets a room that was kept for later.
    pub(crate) fn leave_early(&self, room: &Room) {
        if let Stage::Pending(waiting) = &mut *self.stage.lock() {
            waiting.rooms.remove(room);
        }
    }

    /// Queues an event, or keeps it until the client is let in.
    pub(crate) fn push_event(&self, packet: &Encoded, flags: Flags, writes: &mut Writes) {
        match &mut *self.stage.lock() {
            Stage::Connected => self.connection.push(packet, Class::Event, flags, writes),
            Stage::Pending(_) if flags.volatile => {}
            Stage::Pending(waiting) => waiting.events.push((packet.clone(), flags)),
            Stage::Left => {}
        }
    }

    /// Queues a packet that is not an event.
    pub(crate) fn push_control(&self, packet: &Encoded, writes: &mut Writes) {
        if self.is_connected() {
            self.connection.push(packet, Class::Control, Flags::default(), writes);
        }
    }

    /// Lets the client in: the events it missed, its CONNECT packet, what was sent to it meanwhile; then others can
    /// reach it. Returns whether the client was still there.
    pub(crate) fn admit(self: &Arc<Self>, restored: Option<Restored>, writes: &mut Writes) -> bool {
        let namespace = &self.namespace;
        let is_there = self.connection.joined(self);
        let mut rooms = namespace.rooms.lock();
        let mut stage = self.stage.lock();
        let waiting = match &mut *stage {
            Stage::Pending(waiting) if is_there => std::mem::take(waiting),
            _ => {
                drop(stage);
                if let (Some(log), Some(_)) = (&mut rooms.log, &self.recovery) {
                    // It may come back once more.
                    let session = restored.map(|restored| restored.session);
                    let former = session.as_ref().map(|session| session.key);
                    if !session.is_some_and(|session| namespace.keep(log, session, Instant::now())) {
                        namespace.forget_sessions(former);
                    }
                    log.client_gone();
                }
                return false;
            }
        };
        if let (Some(log), Some(restored)) = (&rooms.log, &restored) {
            let missed = log.missed(restored).map(|(position, payload)| {
                self.addressed(position);
                log.with_offset(payload, position)
            });
            emit::replay(self, missed, writes);
            namespace.server.counters.recovered.add(1);
        }
        self.connection.push_connect(&self.connect_packet(), writes);
        for (packet, flags) in &waiting.events {
            self.connection.push(packet, Class::Event, *flags, writes);
        }
        *stage = Stage::Connected;
        namespace.server.counters.sockets.add(1);
        drop(stage);
        let restored_rooms = restored.into_iter().flat_map(|restored| restored.session.rooms.to_vec());
        namespace.enter(&mut rooms, self, restored_rooms.chain(waiting.rooms.to_vec()));
        drop(rooms);
        namespace.tell_adapter();
        tracing::debug!(namespace = %namespace.name(), socket = %self.id, "client joined a namespace");
        true
    }

    fn connect_packet(&self) -> Encoded {
        let mut data = format!(r#"{{"sid":"{}""#, self.id);
        if let Some(recovery) = &self.recovery {
            data.push_str(r#","pid":""#);
            data.push_str(&recovery.private_id);
            data.push('"');
        }
        data.push('}');
        self.connection.encoder().connect(self.namespace.name(), data)
    }

    /// Notes that the host has put the socket out.
    pub(crate) fn put_out(&self) {
        self.is_put_out.store(true, Ordering::Release);
    }

    /// Whether the host has put the socket out.
    pub(crate) fn is_put_out(&self) -> bool {
        self.is_put_out.load(Ordering::Acquire)
    }

    /// Marks the socket as gone. Returns whether it had been let in.
    pub(crate) fn left(&self) -> bool {
        let was = std::mem::replace(&mut *self.stage.lock(), Stage::Left);
        self.give_up_waiting();
        if matches!(was, Stage::Pending(_)) {
            self.namespace.turned_away();
        }
        matches!(was, Stage::Connected)
    }

    /// Ends the wait for acks that have no time limit. The others are reported as missing when their time is up, as in
    /// socket.io.
    fn give_up_waiting(&self) {
        let server = &self.namespace.server;
        // A statement of its own, so that the lock is released.
        let waiters = self.waiters.lock().take();
        for waiter in waiters {
            match waiter {
                Waiter::One { token, deadline: None } => self.report(token, Vec::new(), AckStatus::Gone),
                Waiter::One { token, deadline: Some(deadline) } => {
                    // The entry lives on without the socket. If it fires at this moment it finds no waiter.
                    let due = Due::LostAck(Arc::downgrade(server), token);
                    if !server.deadlines.replace(deadline, due) {
                        server.ack_timed_out(token);
                    }
                }
                Waiter::Many(collector) if collector.has_deadline() => {}
                Waiter::Many(collector) => collector.gone(),
            }
        }
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

    /// Waits for an ack until a certain time, or until the socket leaves.
    pub(crate) fn wait_for(self: &Arc<Self>, id: u64, token: u64, until: Option<Instant>) {
        let mut waiters = self.waiters.lock();
        // Under the lock, so that the waiter is found even if its time is up at once.
        let due = || Due::Ack(Arc::downgrade(self), id);
        let deadline = until.map(|at| self.namespace.server.deadlines.add(at, due()));
        waiters.insert(id, Waiter::One { token, deadline });
        drop(waiters);
        self.wait_in_vain();
    }

    /// Waits for one of many acks.
    pub(crate) fn wait_for_many(&self, id: u64, collector: &Arc<Collector>) {
        self.waiters.lock().insert(id, Waiter::Many(collector.clone()));
        self.wait_in_vain();
    }

    /// Gives up at once if the socket has left.
    fn wait_in_vain(&self) {
        if matches!(*self.stage.lock(), Stage::Left) {
            self.give_up_waiting();
        }
    }

    /// Takes an ack of the client.
    pub(crate) fn acked(&self, id: u64, payload: Payload) {
        match self.take_waiter(id) {
            None => self.namespace.server.counters.acks_unexpected.add(1),
            Some(Waiter::Many(collector)) => collector.answer(payload),
            Some(Waiter::One { token, deadline }) => {
                if let Some(deadline) = deadline {
                    self.namespace.server.deadlines.cancel(deadline);
                }
                self.report(token, vec![payload], AckStatus::Complete);
            }
        }
    }

    /// Reports an ack that did not come in time.
    pub(crate) fn ack_timed_out(&self, id: u64) {
        if let Some(Waiter::One { token, .. }) = self.take_waiter(id) {
            self.namespace.server.ack_timed_out(token);
        }
    }

    /// Ends the wait for an ack that the host asked of this socket alone; nothing is reported.
    pub fn forget_ack(&self, token: u64) {
        let waiter = self.waiters.lock().remove_token(token);
        if let Some(Waiter::One { deadline: Some(deadline), .. }) = waiter {
            self.namespace.server.deadlines.cancel(deadline);
        }
    }

    /// Takes a place in the client's share of what may be under way, as each of its events has one: for a handler of the
    /// host that is at work for its coming or going, which a client can have as often as it likes.
    pub fn credit(&self) -> Credit {
        Credit::new(&self.connection, 0)
    }

    /// Says that the host awaits an ack of this client, until the result is dropped. For hosts that keep [`Credit`]s while
    /// handlers are at work: those may be the ones that wait, for an ack that the client has sent behind more events
    /// than may be under way.
    ///
    /// [`Credit`]: crate::Credit
    pub fn await_ack(&self) -> Awaited {
        Awaited::new(&self.connection)
    }

    fn take_waiter(&self, id: u64) -> Option<Waiter> {
        self.waiters.lock().remove(id)
    }

    fn report(&self, token: u64, answers: Vec<Payload>, status: AckStatus) {
        let outcome = AckOutcome { answers, status };
        self.namespace.server.queue.push(HostEvent::Ack { token, outcome });
    }

    /// The reason and rooms of a socket that goes, for the host; kept for recovery when the reason allows it.
    pub(crate) fn depart(self: &Arc<Self>, reason: DisconnectReason) -> Departure {
        tracing::debug!(namespace = %self.namespace.name(), socket = %self.id, %reason, "client left a namespace");
        let is_kept = self.namespace.keep_session(self, reason);
        self.namespace.server.counters.sockets.sub(1);
        Departure::new(self.clone(), reason, !is_kept)
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
