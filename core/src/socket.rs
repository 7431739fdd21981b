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
use smallvec::SmallVec;

use crate::{
    ack::{AckOutcome, AckStatus, Waiter},
    connection::Connection,
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
    selection::Flags,
    writes::Writes,
};
use ferrio_protocol::engine::TransportKind;

/// From this many waiters on, those that are over are looked for now and then.
const MANY_WAITERS: usize = 16;

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
    waiters: Mutex<SmallVec<[(u64, Waiter); 1]>>,
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
    rooms: Vec<Arc<str>>,
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
        let recovery = namespace.keeps_events.then(|| {
            let position = namespace.rooms.lock().log.as_ref().map_or(0, Log::position);
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
    pub fn join<R: Into<Arc<str>>>(&self, rooms: impl IntoIterator<Item = R>) {
        let rooms: Vec<Arc<str>> = rooms.into_iter().map(Into::into).collect();
        self.namespace.join_rooms(self, &rooms);
    }

    /// Leaves a room.
    pub fn leave(&self, room: &str) {
        self.namespace.leave_room(self, &Arc::from(room));
    }

    /// The rooms the socket is in, its own first.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        if let Stage::Pending(waiting) = &*self.stage.lock() {
            return waiting.rooms.clone();
        }
        self.namespace.rooms.lock().rooms_of(self.key)
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
    pub(crate) fn join_later(&self, rooms: &[Arc<str>]) -> bool {
        match &mut *self.stage.lock() {
            Stage::Pending(waiting) => {
                for room in rooms {
                    if !waiting.rooms.contains(room) {
                        waiting.rooms.push(room.clone());
                    }
                }
                true
            }
            // One that has left is still in the room index until the host has heard of it.
            Stage::Connected | Stage::Left => false,
        }
    }

    /// Forgets a room that was kept for later.
    pub(crate) fn leave_early(&self, room: &Arc<str>) {
        if let Stage::Pending(waiting) = &mut *self.stage.lock() {
            waiting.rooms.retain(|joined| joined != room);
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
                // It may come back once more.
                if let (Some(log), Some(restored)) = (&mut rooms.log, restored) {
                    namespace.keep(log, restored.session, Instant::now());
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
        let restored_rooms = restored.into_iter().flat_map(|restored| restored.session.rooms);
        namespace.enter(&mut rooms, self, restored_rooms.chain(waiting.rooms));
        namespace.settle();
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
            self.namespace.settle();
            self.namespace.remove_if_unused();
        }
        matches!(was, Stage::Connected)
    }

    /// Ends the wait for acks that have no time limit. The others are reported as missing when their time is up, as in
    /// socket.io.
    fn give_up_waiting(&self) {
        let waiters = std::mem::take(&mut *self.waiters.lock());
        for (id, waiter) in waiters {
            match waiter {
                Waiter::One { token, deadline: None } => self.report(token, Vec::new(), AckStatus::Gone),
                Waiter::Many(collector) if !collector.has_deadline() => collector.gone(),
                with_deadline => self.waiters.lock().push((id, with_deadline)),
            }
        }
    }

    /// What is kept of the socket for its return.
    pub(crate) fn session(&self, rooms: Vec<Arc<str>>, position: u64) -> Option<Session> {
        let recovery = self.recovery.as_ref()?;
        Some(Session {
            key: self.key,
            id: self.id.clone(),
            private_id: recovery.private_id.clone(),
            rooms,
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

    pub(crate) fn wait_for(&self, id: u64, waiter: Waiter) {
        let mut waiters = self.waiters.lock();
        if waiters.len() >= MANY_WAITERS && waiters.len().is_power_of_two() {
            // A client that never answers must not gather the broadcasts it was asked in.
            waiters.retain(|(_, waiter)| !matches!(waiter, Waiter::Many(collector) if collector.is_over()));
        }
        waiters.push((id, waiter));
        drop(waiters);
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
            self.namespace.server.counters.acks_timed_out.add(1);
            self.report(token, Vec::new(), AckStatus::TimedOut);
        }
    }

    /// Ends the wait for an ack that the host asked of this socket alone; nothing is reported.
    pub fn forget_ack(&self, token: u64) {
        let mut waiters = self.waiters.lock();
        let is_meant = |waiter: &Waiter| matches!(waiter, Waiter::One { token: own, .. } if *own == token);
        let Some(idx) = waiters.iter().position(|(_, waiter)| is_meant(waiter)) else { return };
        let (_, waiter) = waiters.remove(idx);
        drop(waiters);
        if let Waiter::One { deadline: Some(deadline), .. } = waiter {
            self.namespace.server.deadlines.cancel(deadline);
        }
    }

    fn take_waiter(&self, id: u64) -> Option<Waiter> {
        let mut waiters = self.waiters.lock();
        let idx = waiters.iter().position(|(waiting, _)| *waiting == id)?;
        Some(waiters.remove(idx).1)
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
