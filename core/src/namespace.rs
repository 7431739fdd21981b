//! A namespace: its sockets, their rooms, and what can be asked of many of them at once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    adapter::Adapter,
    deadlines::Due,
    departure::Departure,
    emit::{self, AckRequest},
    payload::Payload,
    queue::HostEvent,
    reason::DisconnectReason,
    recovery::{Log, Restored, Session},
    rooms::{RoomChange, RoomEvent, Rooms},
    selection::{Flags, Selection},
    server::Shared,
    socket::{Socket, SocketKey},
    writes::Writes,
};

/// A namespace of a server, by [`Server::namespace`](crate::Server::namespace).
pub struct Namespace {
    name: Arc<str>,
    pub(crate) server: Arc<Shared>,
    pub(crate) adapter: Box<dyn Adapter>,
    pub(crate) rooms: Mutex<Rooms>,
    pub(crate) ack_ids: AtomicU64,
    /// Whether events get positions and are kept for clients that come back.
    pub(crate) keeps_events: bool,
    /// Clients that want to join, and have not been let in or refused.
    n_pending: AtomicUsize,
    /// Whether it was made because a client asked for it.
    /// Whether it came into being for a client, and may go with its last.
    is_dynamic: AtomicBool,
}

impl Namespace {
    pub(crate) fn new(name: Arc<str>, server: Arc<Shared>, is_dynamic: bool) -> Self {
        let log = server.config.recovery.map(Log::new);
        Self {
            adapter: (server.make_adapter)(&name),
            name,
            keeps_events: log.is_some(),
            rooms: Mutex::new(Rooms::new(log)),
            server,
            ack_ids: AtomicU64::new(0),
            n_pending: AtomicUsize::new(0),
            is_dynamic: AtomicBool::new(is_dynamic),
        }
    }

    /// The name, with its leading `/`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The adapter that connects it with other nodes.
    pub fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    /// The sockets of this node.
    pub fn sockets(&self) -> Vec<Arc<Socket>> {
        self.rooms.lock().sockets().cloned().collect()
    }

    /// How many sockets this node has.
    pub fn n_sockets(&self) -> usize {
        self.rooms.lock().len()
    }

    /// Whether nobody is in it, nor wants to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.n_pending.load(Ordering::Acquire) == 0 && self.n_sockets() == 0
    }

    /// Notes that a client wants to join.
    pub(crate) fn expect(&self) {
        self.n_pending.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that a client was let in, refused, or has gone.
    pub(crate) fn settle(&self) {
        self.n_pending.fetch_sub(1, Ordering::AcqRel);
    }

    /// A socket of this node by its id.
    pub fn socket(&self, id: &str) -> Option<Arc<Socket>> {
        self.rooms.lock().by_id(id)
    }

    /// Every room of this node with its members.
    pub fn rooms(&self) -> Vec<(Arc<str>, Vec<Arc<Socket>>)> {
        self.rooms.lock().all()
    }

    /// The members of a room on this node.
    pub fn members(&self, room: &str) -> Vec<Arc<Socket>> {
        self.rooms.lock().members_of(&Arc::from(room))
    }

    /// The sockets of this node that are meant.
    pub fn select(&self, selection: &Selection) -> Vec<Arc<Socket>> {
        let mut selected = Vec::new();
        self.rooms.lock().select(selection, |socket| selected.push(socket.clone()));
        selected
    }

    /// Sends an event to every socket that is meant.
    pub fn emit(
        self: &Arc<Self>,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        writes: &mut Writes,
    ) {
        emit::to_selection(self, selection, payload, flags, writes);
    }

    /// Sends an event to every socket that is meant, and reports their acks together as [`HostEvent::Ack`].
    pub fn emit_with_ack(
        self: &Arc<Self>,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        ack: AckRequest,
        writes: &mut Writes,
    ) {
        emit::to_selection_with_ack(self, selection, payload, flags, ack, writes);
    }

    /// Makes every socket that is meant join rooms, here and on other nodes.
    pub fn join(&self, selection: &Selection, rooms: &[Arc<str>], local: bool) {
        for socket in self.select(selection) {
            self.join_rooms(&socket, rooms);
        }
        if !local {
            self.adapter.join(selection, rooms);
        }
    }

    /// Makes every socket that is meant leave rooms, here and on other nodes.
    pub fn leave(&self, selection: &Selection, rooms: &[Arc<str>], local: bool) {
        for socket in self.select(selection) {
            for room in rooms {
                self.leave_room(&socket, room);
            }
        }
        if !local {
            self.adapter.leave(selection, rooms);
        }
    }

    /// Disconnects every socket that is meant, here and on other nodes. Returns those of this node, as
    /// [`Socket::disconnect`] does.
    pub fn disconnect(
        &self,
        selection: &Selection,
        close: bool,
        local: bool,
        writes: &mut Writes,
    ) -> Vec<Departure> {
        let mut departures = Vec::new();
        for socket in self.select(selection) {
            departures.extend(socket.disconnect(close, writes));
        }
        if !local {
            self.adapter.disconnect(selection, close);
        }
        departures
    }

    pub(crate) fn join_rooms(&self, socket: &Socket, rooms: &[Arc<str>]) {
        if socket.join_later(rooms) {
            return;
        }
        let mut index = self.rooms.lock();
        for room in rooms {
            index.join(socket.key(), room, &mut |change, room, id| self.report(change, room, id));
        }
        if let (Some(log), Some(private_id)) = (&mut index.log, socket.private_id()) {
            // A handler may still join rooms for an event that came just before its socket was lost.
            log.add_rooms(private_id, socket.key(), rooms);
        }
    }

    pub(crate) fn leave_room(&self, socket: &Socket, room: &Arc<str>) {
        socket.leave_early(room);
        self.rooms.lock().leave(socket.key(), room, &mut |change, room, id| self.report(change, room, id));
    }

    /// Makes a socket reachable: by its own room and by those it has joined already.
    pub(crate) fn enter(
        &self,
        rooms: &mut Rooms,
        socket: &Arc<Socket>,
        joined: impl Iterator<Item = Arc<str>>,
    ) {
        let mut report = |change, room: &Arc<str>, id: Option<&Arc<str>>| self.report(change, room, id);
        rooms.insert(socket, &mut report);
        rooms.join(socket.key(), socket.id(), &mut report);
        for room in joined {
            rooms.join(socket.key(), &room, &mut report);
        }
        self.server.register(socket);
    }

    /// Takes a socket that has left out of its rooms.
    pub(crate) fn forget(self: &Arc<Self>, socket: &Arc<Socket>) {
        let mut rooms = self.rooms.lock();
        rooms.remove(socket.key(), &mut |change, room, id| self.report(change, room, id));
        drop(rooms);
        self.server.unregister(socket.key());
        self.remove_if_unused();
    }

    /// Lets it go if it came into being for clients and has none any more.
    pub(crate) fn remove_if_unused(self: &Arc<Self>) {
        if self.server.config.cleanup_empty_child_namespaces && self.is_dynamic.load(Ordering::Acquire) {
            self.server.remove_empty_namespace(self);
        }
    }

    /// Keeps it, whether it has clients or not: the host has asked for it by name.
    pub(crate) fn stay(&self) {
        self.is_dynamic.store(false, Ordering::Release);
    }

    fn report(&self, change: RoomChange, room: &Arc<str>, socket_id: Option<&Arc<str>>) {
        match change {
            RoomChange::Create => self.adapter.room_changed(room, true),
            RoomChange::Delete => self.adapter.room_changed(room, false),
            RoomChange::Join | RoomChange::Leave => {}
        }
        if self.server.config.room_events {
            let namespace = self.name.clone();
            let event = RoomEvent { namespace, change, room: room.clone(), socket_id: socket_id.cloned() };
            self.server.queue.push(HostEvent::Room(event));
        }
    }

    /// Keeps a socket's session when its client may come back, and returns whether it does.
    pub(crate) fn keep_session(self: &Arc<Self>, socket: &Arc<Socket>, reason: DisconnectReason) -> bool {
        if !reason.is_recoverable() {
            return false;
        }
        let now = Instant::now();
        let mut rooms = self.rooms.lock();
        let joined = rooms.rooms_of(socket.key());
        let Some(log) = &mut rooms.log else { return false };
        let Some(session) = socket.session(joined, log.position()) else { return false };
        self.keep(log, session, now);
        true
    }

    /// Keeps a session, and sees to it that somebody looks when its time is up.
    pub(crate) fn keep(self: &Arc<Self>, log: &mut Log, session: Session, now: Instant) {
        let (evicted, expires_first) = log.keep_session(session, now);
        self.forget_sessions(evicted);
        if let Some(until) = expires_first {
            self.server.deadlines.add(until, Due::Recovery(Arc::downgrade(self)));
        }
    }

    /// Gives a session back to a client that names it.
    pub(crate) fn restore_session(&self, private_id: &str, offset: Option<&str>) -> Option<Restored> {
        let restored = self.rooms.lock().log.as_mut()?.restore(private_id, offset, Instant::now());
        match restored {
            Ok(restored) => Some(restored),
            Err(forgotten) => {
                self.forget_sessions(forgotten);
                None
            }
        }
    }

    /// Drops the sessions whose time is up, and looks again when the next one's will be.
    pub(crate) fn expire_sessions(self: &Arc<Self>, now: Instant) {
        let expired = self.rooms.lock().log.as_mut().map(|log| log.expire(now));
        let (expired, next) = expired.unwrap_or_default();
        self.forget_sessions(expired);
        if let Some(next) = next {
            self.server.deadlines.add(next, Due::Recovery(Arc::downgrade(self)));
        }
    }

    /// Tells the host that sessions will not come back.
    pub(crate) fn forget_sessions(&self, keys: impl IntoIterator<Item = SocketKey>) {
        for key in keys {
            self.server.queue.push(HostEvent::Forget { key });
        }
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.name).finish_non_exhaustive()
    }
}
