//! Who is in which room of a namespace.

use std::{fmt, sync::Arc};

use ahash::{HashMap, HashSet};
use indexmap::{IndexMap, IndexSet};

use crate::{
    key::SocketKey,
    rooms::{log::Log, room::Room, selection::Selection, set::RoomSet},
};

type RandomState = ahash::RandomState;

/// The room index of one namespace, together with the log of its events, which has to be read and written at the
/// same moment. Kept behind the namespace's lock.
///
/// Every socket is in a room of its own name. That one is not stored: it is a flag of the member.
pub(crate) struct Rooms<S> {
    members: IndexMap<SocketKey, Member<S>, RandomState>,
    by_id: HashMap<Arc<str>, SocketKey>,
    /// Without the sockets' own rooms.
    by_name: HashMap<Room, IndexSet<SocketKey, RandomState>>,
    /// Rooms that have members, the sockets' own among them.
    n_distinct: usize,
    pub(crate) log: Option<Log>,
}

struct Member<S> {
    key: SocketKey,
    id: Arc<str>,
    socket: Arc<S>,
    is_in_own_room: bool,
    /// Without the own room.
    rooms: RoomSet,
}

/// Takes changes as they happen: a room has got its first member, or lost its last.
pub(crate) type Changes<'a> = &'a mut dyn FnMut(&Room, bool);

impl<S> Rooms<S> {
    pub(crate) fn new(log: Option<Log>) -> Self {
        Self {
            members: IndexMap::default(),
            by_id: HashMap::default(),
            by_name: HashMap::default(),
            n_distinct: 0,
            log,
        }
    }

    /// Makes a socket a member, in no room yet. A former member of the same id (one that was recovered) goes; returns
    /// whether there was one.
    pub(crate) fn insert(
        &mut self,
        key: SocketKey,
        id: Arc<str>,
        socket: Arc<S>,
        changes: Changes<'_>,
    ) -> bool {
        let former = self.by_id.get(&id).copied();
        let has_replaced = former.is_some_and(|former| self.remove(former, changes));
        self.by_id.insert(id.clone(), key);
        let member = Member { key, id, socket, is_in_own_room: false, rooms: RoomSet::default() };
        self.members.insert(key, member);
        has_replaced
    }

    /// Takes a member out of all rooms and of the namespace. Returns whether it was one.
    pub(crate) fn remove(&mut self, key: SocketKey, changes: Changes<'_>) -> bool {
        for room in self.rooms_of(key) {
            self.leave(key, &room, changes);
        }
        let Some(member) = self.members.swap_remove(&key) else { return false };
        if self.by_id.get(&member.id) == Some(&key) {
            self.by_id.remove(&member.id);
        }
        true
    }

    /// Puts a member into a room. Does nothing for one that is in it, and for one that has left. Returns whether it was put
    /// there.
    pub(crate) fn join(&mut self, key: SocketKey, room: &Room, changes: Changes<'_>) -> bool {
        let is_new = !self.is_room(room);
        let Some(member) = self.members.get_mut(&key) else { return false };
        let id = member.id.clone();
        if room.as_text() == Some(&id) {
            if member.is_in_own_room {
                return false;
            }
            member.is_in_own_room = true;
        } else {
            let shared = match self.by_name.get_key_value(room) {
                Some((shared, _)) => shared.clone(),
                None => room.clone(),
            };
            if !self.by_name.entry(shared.clone()).or_default().insert(key) {
                return false;
            }
            member.rooms.insert(shared);
        }
        if is_new {
            self.n_distinct += 1;
            changes(room, true);
        }
        true
    }

    /// Takes a member out of a room. Returns whether it was in it.
    pub(crate) fn leave(&mut self, key: SocketKey, room: &Room, changes: Changes<'_>) -> bool {
        let Some(member) = self.members.get_mut(&key) else { return false };
        let id = member.id.clone();
        if room.as_text() == Some(&id) {
            if !std::mem::take(&mut member.is_in_own_room) {
                return false;
            }
        } else {
            if !member.rooms.remove(room) {
                return false;
            }
            if let Some(keys) = self.by_name.get_mut(room) {
                keys.swap_remove(&key);
                if keys.is_empty() {
                    self.by_name.remove(room);
                }
            }
        }
        if !self.is_room(room) {
            self.n_distinct -= 1;
            changes(room, false);
        }
        true
    }

    /// Whether anybody is in a room of this name.
    fn is_room(&self, room: &Room) -> bool {
        self.by_name.contains_key(room) || self.owner_in(room).is_some()
    }

    /// The member in whose own room we are, if it is still in it.
    fn owner_in(&self, room: &Room) -> Option<&Member<S>> {
        self.members.get(self.by_id.get(room.as_text()?)?).filter(|member| member.is_in_own_room)
    }

    /// The rooms of a member, its own first.
    pub(crate) fn rooms_of(&self, key: SocketKey) -> Vec<Room> {
        let Some(member) = self.members.get(&key) else { return Vec::new() };
        let own = member.is_in_own_room.then(|| Room::Text(member.id.clone()));
        own.into_iter().chain(member.rooms.to_vec()).collect()
    }

    /// Whether a member is in a room.
    pub(crate) fn is_in(&self, key: SocketKey, room: &Room) -> bool {
        self.members.get(&key).is_some_and(|member| match room.as_text() {
            Some(text) if *text == member.id => member.is_in_own_room,
            _ => member.rooms.contains(room),
        })
    }

    /// Every room with its members.
    pub(crate) fn all(&self) -> Vec<(Room, Vec<Arc<S>>)> {
        let own = self.members.values().filter(|member| member.is_in_own_room);
        let own = own.map(|member| Room::Text(member.id.clone()));
        let names: IndexSet<Room, RandomState> = own.chain(self.by_name.keys().cloned()).collect();
        let with_members = |room| {
            let members = self.members_of(&room);
            (room, members)
        };
        names.into_iter().map(with_members).collect()
    }

    /// The members of a room.
    pub(crate) fn members_of(&self, room: &Room) -> Vec<Arc<S>> {
        let mut members = Vec::new();
        self.each_in(room, &mut |member| members.push(member.socket.clone()));
        members
    }

    /// How many rooms there are.
    pub(crate) fn n_rooms(&self) -> usize {
        self.n_distinct
    }

    /// How many members a room has.
    pub(crate) fn n_members(&self, room: &Room) -> usize {
        let n_others = self.by_name.get(room).map_or(0, IndexSet::len);
        n_others + usize::from(self.owner_in(room).is_some())
    }

    /// A member by its id.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<S>> {
        Some(self.members.get(self.by_id.get(id)?)?.socket.clone())
    }

    /// Every member, in the order of their arrival as far as nobody has left.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Arc<S>> {
        self.members.values().map(|member| &member.socket)
    }

    /// Whether a socket is a member.
    pub(crate) fn contains(&self, key: SocketKey) -> bool {
        self.members.contains_key(&key)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Calls `receive` once for every socket that is meant.
    pub(crate) fn select(&self, selection: &Selection, mut receive: impl FnMut(&Arc<S>)) {
        let mut excluded: HashSet<SocketKey> = HashSet::default();
        for_each_once(&selection.except, |room| {
            self.each_in(room, &mut |member| {
                excluded.insert(member.key);
            });
        });
        let mut visit = |member: &Member<S>| {
            if excluded.is_empty() || !excluded.contains(&member.key) {
                receive(&member.socket);
            }
        };
        match selection.rooms.as_slice() {
            [] => self.members.values().for_each(visit),
            [room] => self.each_in(room, &mut visit),
            rooms => {
                let mut seen: HashSet<SocketKey> = HashSet::default();
                for_each_once(rooms, |room| {
                    self.each_in(room, &mut |member| {
                        if seen.insert(member.key) {
                            visit(member);
                        }
                    });
                });
            }
        }
    }

    fn each_in(&self, room: &Room, visit: &mut dyn FnMut(&Member<S>)) {
        if let Some(owner) = self.owner_in(room) {
            visit(owner);
        }
        for key in self.by_name.get(room).into_iter().flatten() {
            if let Some(member) = self.members.get(key) {
                visit(member);
            }
        }
    }
}

/// Calls `visit` for every room, but not again for one that is named twice.
fn for_each_once(rooms: &[Room], mut visit: impl FnMut(&Room)) {
    if let [room] = rooms {
        return visit(room);
    }
    let mut seen: HashSet<&Room> = HashSet::default();
    rooms.iter().filter(|room| seen.insert(room)).for_each(visit);
}

impl<S> fmt::Debug for Rooms<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms")
            .field("n_members", &self.members.len())
            .field("n_distinct", &self.by_name.len())
            .finish_non_exhaustive()
    }
}
