//! A namespace: its sockets, their rooms, and what can be asked of many of them at once.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use ferrio_engine::runtime;
use parking_lot::Mutex;

use crate::{
    adapter::Adapter,
    event::{Observation, Observed, RoomChange},
    packet::payload::Payload,
    rooms::{
        index::Rooms,
        log::{Log, ReplayLimit},
        room::Room,
        selection::Selection,
    },
    socket::Socket,
    socket_io::SocketIo,
};

/// A namespace of a server, by [`Server::namespace`](crate::Server::namespace).
pub struct Namespace {
    name: Arc<str>,
    pub(crate) server: Arc<SocketIo>,
    pub(crate) adapter: Box<dyn Adapter<Self>>,
    pub(crate) rooms: Mutex<Rooms<Socket>>,
    pub(crate) ack_ids: AtomicU64,
    /// Whether events get positions and are kept for clients that come back.
    keeps_events: AtomicBool,
    /// Clients that want to connect, or are connected and not yet forgotten.
    n_clients: AtomicUsize,
    /// What the adapter has to hear of rooms, if it wants to.
    room_changes: Option<Mutex<RoomChanges>>,
    /// Whether it was made because a client asked for it, and the host has not asked for it by name.
    is_dynamic: AtomicBool,
    /// Whether an observer is never shown its events.
    hides_events: AtomicBool,
}

/// What an event has in an outbox besides its payload and namespace: the frame's header and its account, the packet's
/// type, the offset. An upper bound.
const PACKET_OVERHEAD: usize = 192;

/// Changes of rooms on their way to the adapter. They are noted under the lock of the rooms, so in their order, and told
/// under no lock, by one thread at a time. As many wait as are made while the adapter takes one, which does not block.
#[derive(Default)]
struct RoomChanges {
    waiting: VecDeque<(Room, bool)>,
    is_telling: bool,
}

impl Namespace {
    pub(crate) fn new(name: Arc<str>, server: Arc<SocketIo>, is_dynamic: bool) -> Self {
        let replay = ReplayLimit {
            // Half of what it can hold: more may be sent before the client is let in.
            max_bytes: server.config.engine.outbox.max_bytes / 2,
            packet_overhead: PACKET_OVERHEAD + name.len(),
        };
        let log = server.config.recovery.map(|recovery| Log::new(recovery, replay));
        let adapter = (server.make_adapter)(&name);
        Self {
            room_changes: adapter.wants_room_changes().then(Mutex::default),
            adapter,
            name,
            keeps_events: AtomicBool::new(log.is_some()),
            rooms: Mutex::new(Rooms::new(log)),
            server,
            ack_ids: AtomicU64::new(0),
            n_clients: AtomicUsize::new(0),
            is_dynamic: AtomicBool::new(is_dynamic),
            hides_events: AtomicBool::new(false),
        }
    }

    /// The name, with its leading `/`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The adapter that connects it with other nodes.
    pub fn adapter(&self) -> &dyn Adapter<Self> {
        &*self.adapter
    }

    /// Whether events get positions and are kept for clients that come back.
    pub(crate) fn keeps_events(&self) -> bool {
        // Relaxed: the log itself is looked for under the lock.
        self.keeps_events.load(Ordering::Relaxed)
    }

    /// Leaves recovery to the host: nothing is kept any more for clients that come back, not even of those that are away. See
    /// [`ConnectRequest::identify`](crate::ConnectRequest::identify) and [`Socket::replay`].
    pub fn leave_recovery_to_host(&self) {
        self.keeps_events.store(false, Ordering::Relaxed);
        let log = self.rooms.lock().log.take();
        self.forget_sessions(log.iter().flat_map(Log::session_keys));
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
    ///
    /// Asked under the write lock of the namespaces; clients that find it are counted under the read lock, so that none
    /// comes between the question and the removal.
    pub(crate) fn is_empty(&self) -> bool {
        self.n_clients.load(Ordering::SeqCst) == 0
    }

    /// Notes that a client wants to connect.
    pub(crate) fn expect(&self) {
        self.n_clients.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that a client was not let in.
    pub(crate) fn turned_away(self: &Arc<Self>) {
        // Sequentially consistent: either this sees that nobody wants it, or the host, who says so, that nobody is in it.
        let was_last = self.n_clients.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.goes_when_empty() {
            let namespace = self.clone();
            // Not done here, where locks are held, nor on an I/O thread, because its adapter is the host's own.
            drop(runtime().spawn_blocking(move || namespace.server.remove_unwanted_namespace(&namespace)));
        }
    }

    fn goes_when_empty(&self) -> bool {
        self.server.config.cleanup_empty_child_namespaces && self.is_unwanted()
    }

    /// Whether only clients have asked for it.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.is_dynamic.load(Ordering::SeqCst)
    }

    /// Notes that a client or, by name, the host has asked for it: then it stays, whether it has clients or not.
    pub(crate) fn ask_for(&self, is_dynamic: bool) {
        if !is_dynamic {
            self.is_dynamic.store(false, Ordering::SeqCst);
        }
    }

    /// Notes that the host no longer wants it.
    pub(crate) fn give_up(&self) {
        self.is_dynamic.store(true, Ordering::SeqCst);
    }

    /// A socket of this node by its id.
    pub fn socket(&self, id: &str) -> Option<Arc<Socket>> {
        self.rooms.lock().by_id(id)
    }

    /// Every room of this node with its members.
    pub fn rooms(&self) -> Vec<(Room, Vec<Arc<Socket>>)> {
        self.rooms.lock().all()
    }

    /// How many rooms there are on this node.
    pub fn n_rooms(&self) -> usize {
        self.rooms.lock().n_rooms()
    }

    /// The members of a room on this node.
    pub fn members(&self, room: impl Into<Room>) -> Vec<Arc<Socket>> {
        self.rooms.lock().members_of(&room.into())
    }

    /// How many members a room has on this node.
    pub fn n_members(&self, room: impl Into<Room>) -> usize {
        self.rooms.lock().n_members(&room.into())
    }

    /// The sockets of this node that are meant.
    pub fn select(&self, selection: &Selection) -> Vec<Arc<Socket>> {
        let mut selected = Vec::new();
        self.rooms.lock().select(selection, |socket| selected.push(socket.clone()));
        selected
    }

    /// Makes every socket that is meant join rooms, here and on other nodes.
    pub fn join(&self, selection: &Selection, rooms: &[Room], local: bool) {
        for socket in self.select(selection) {
            self.join_rooms(&socket, rooms);
        }
        if !local {
            self.adapter.join(selection, rooms);
        }
    }

    /// Makes every socket that is meant leave rooms, here and on other nodes.
    pub fn leave(&self, selection: &Selection, rooms: &[Room], local: bool) {
        for socket in self.select(selection) {
            for room in rooms {
                self.leave_room(&socket, room);
            }
        }
        if !local {
            self.adapter.leave(selection, rooms);
        }
    }

    pub(crate) fn join_rooms(&self, socket: &Socket, rooms: &[Room]) {
        if socket.join_pending(rooms) {
            return;
        }
        let mut index = self.rooms.lock();
        for room in rooms {
            if index.join(socket.key(), room, &mut |room, exists| self.note_change(room, exists)) {
                self.observe_room(socket, room, Observed::Joined);
            }
        }
        if let (Some(log), Some(private_id)) = (&mut index.log, socket.private_id()) {
            // A handler may still join rooms for an event that came just before its socket was lost.
            log.add_rooms(private_id, socket.key(), rooms);
        }
        drop(index);
        self.tell_adapter();
    }

    pub(crate) fn leave_room(&self, socket: &Socket, room: &Room) {
        socket.leave_pending(room);
        let mut index = self.rooms.lock();
        if index.leave(socket.key(), room, &mut |room, exists| self.note_change(room, exists)) {
            self.observe_room(socket, room, Observed::Left);
        }
        if let (Some(log), Some(private_id)) = (&mut index.log, socket.private_id()) {
            log.remove_room(private_id, socket.key(), room);
        }
        drop(index);
        self.tell_adapter();
    }

    /// Makes a socket reachable: by its own room and by those it has joined already. The caller then calls
    /// [`tell_adapter`](Self::tell_adapter), without the lock.
    pub(crate) fn enter(
        &self,
        rooms: &mut Rooms<Socket>,
        socket: &Arc<Socket>,
        joined: impl Iterator<Item = Room>,
    ) {
        let mut report = |room: &Room, exists| self.note_change(room, exists);
        if rooms.insert(socket.key(), socket.id().clone(), socket.clone(), &mut report) {
            // Nobody else will forget the one whose place it takes. It is not the last.
            self.n_clients.fetch_sub(1, Ordering::SeqCst);
        }
        for room in std::iter::once(Room::Text(socket.id().clone())).chain(joined) {
            if rooms.join(socket.key(), &room, &mut report) {
                self.observe_room(socket, &room, Observed::Joined);
            }
        }
        self.observe(|| Observed::Connected(socket.clone(), rooms.rooms_of(socket.key())));
        self.server.register(socket);
    }

    /// Takes a socket that has left out of its rooms.
    pub(crate) fn forget(self: &Arc<Self>, socket: &Arc<Socket>) {
        let mut rooms = self.rooms.lock();
        if self.server.tap.is_on() {
            for room in rooms.rooms_of(socket.key()) {
                self.observe_room(socket, &room, Observed::Left);
            }
        }
        let was_member = rooms.remove(socket.key(), &mut |room, exists| self.note_change(room, exists));
        drop(rooms);
        if was_member {
            self.n_clients.fetch_sub(1, Ordering::SeqCst);
        }
        self.server.unregister(socket.key());
        self.tell_adapter();
        if self.goes_when_empty() {
            self.server.remove_unwanted_namespace(self);
        }
    }

    /// Shows something to an observer, if there is one.
    #[inline]
    pub(crate) fn observe(&self, what: impl FnOnce() -> Observed) {
        if self.server.tap.is_on() {
            self.server.tap.note(Observation::now(what()));
        }
    }

    fn observe_room(&self, socket: &Socket, room: &Room, what: fn(RoomChange) -> Observed) {
        self.observe(|| {
            let (namespace, socket) = (self.name.clone(), socket.id().clone());
            what(RoomChange { namespace, socket, room: room.clone() })
        });
    }

    /// Whether an observer is shown what is sent and received here.
    #[inline]
    pub(crate) fn shows_events(&self) -> bool {
        self.server.tap.is_on() && !self.hides_events.load(Ordering::Relaxed)
    }

    /// Shows an event that came or went to an observer.
    #[cold]
    pub(crate) fn observe_event(
        &self,
        socket: &Arc<Socket>,
        payload: &Payload,
        what: fn(Arc<Socket>, Payload) -> Observed,
    ) {
        let note = || Observation::now(what(socket.clone(), payload.clone()));
        self.server.tap.note_event(payload.len(), note);
    }

    /// Never shows an observer what is sent and received here: it is the observer's own.
    pub fn hide_events(&self) {
        self.hides_events.store(true, Ordering::Relaxed);
    }

    /// Keeps a change for the adapter, if it wants to know.
    fn note_change(&self, room: &Room, exists: bool) {
        if let Some(changes) = &self.room_changes {
            changes.lock().waiting.push_back((room.clone(), exists));
        }
    }

    /// Tells the adapter of the changes that wait, unless another thread is about it, which then tells of these, too.
    pub(crate) fn tell_adapter(&self) {
        let Some(changes) = &self.room_changes else { return };
        if std::mem::replace(&mut changes.lock().is_telling, true) {
            return;
        }
        loop {
            let mut locked = changes.lock();
            let Some((room, exists)) = locked.waiting.pop_front() else {
                locked.is_telling = false;
                return;
            };
            drop(locked);
            self.adapter.room_changed(&room, exists);
        }
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.name).finish_non_exhaustive()
    }
}
