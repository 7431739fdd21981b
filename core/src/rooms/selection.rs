//! Who is meant: rooms, exceptions and flags of an emit.

use ferrio_engine::SendOptions;
use smallvec::SmallVec;

use crate::rooms::room::Room;

/// A set of sockets of one namespace, by rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Sockets in any of these rooms. Empty: every socket of the namespace.
    pub rooms: SmallVec<[Room; 1]>,
    /// But none that is in one of these.
    pub except: SmallVec<[Room; 1]>,
}

impl Selection {
    /// Every socket of the namespace.
    pub fn all() -> Self {
        Self::default()
    }

    /// Adds a room.
    #[must_use]
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// Leaves out a room's sockets.
    #[must_use]
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.except.push(room.into());
        self
    }

    /// Whether a socket is meant, given the rooms in which it is.
    pub(crate) fn means(&self, is_in: impl Fn(&Room) -> bool) -> bool {
        let is_in = &is_in;
        (self.rooms.is_empty() || self.rooms.iter().any(is_in)) && !self.except.iter().any(is_in)
    }
}

/// How an event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// The event is dropped for receivers that are not ready to take it at once. Default `false`.
    pub volatile: bool,
    /// Whether this event may be compressed: the polling answer with it, or its frames. Default `true`.
    pub compress: bool,
    /// The event stays on this node of a cluster. Default `false`.
    pub local: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { volatile: false, compress: true, local: false }
    }
}

impl From<Flags> for SendOptions {
    /// How an event is sent: it may be dropped when the outbox is full and the policy says so.
    fn from(flags: Flags) -> Self {
        Self { volatile: flags.volatile, compress: flags.compress, is_droppable: true, is_told: true }
    }
}
