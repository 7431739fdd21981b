//! What a session tells besides its messages, to those who ask.

use std::ops::BitOr;

use ferrio_protocol::engine::{Data, PacketType};

/// Something that happened on a session.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum SessionEvent<'a> {
    /// A packet has come: `packet` in engine.io.
    Packet(PacketType, &'a Data<'a>),
    /// A packet was queued for the client, which may be compressed or not: `packetCreate`.
    PacketCreate(PacketType, &'a Data<'a>, bool),
    /// A sign of life has come, asked for or not: `heartbeat`.
    Heartbeat,
    /// What waited is given to the transport: `flush`.
    Flush,
    /// Everything has left: `drain`.
    Drain,
    /// The probe of an upgrade was answered: `upgrading`.
    Upgrading,
    /// The WebSocket is the transport from here on: `upgrade`.
    Upgrade,
    /// The WebSocket that was probed, or was to be, is given up.
    UpgradeFailed,
    /// The session had ended between two polls; now its client has been told, or cannot be any more.
    Told,
}

/// A set of [`SessionEvent`]s. What nobody asks for costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watch(u16);

impl Watch {
    /// [`SessionEvent::Packet`]
    pub const PACKET: Self = Self(1);
    /// [`SessionEvent::PacketCreate`]
    pub const PACKET_CREATE: Self = Self(1 << 1);
    /// [`SessionEvent::Heartbeat`]
    pub const HEARTBEAT: Self = Self(1 << 2);
    /// [`SessionEvent::Flush`]
    pub const FLUSH: Self = Self(1 << 3);
    /// [`SessionEvent::Drain`]
    pub const DRAIN: Self = Self(1 << 4);
    /// [`SessionEvent::Upgrading`] and [`SessionEvent::UpgradeFailed`]
    pub const UPGRADING: Self = Self(1 << 5);
    /// [`SessionEvent::Upgrade`]
    pub const UPGRADE: Self = Self(1 << 6);
    /// Messages. The engine itself does not look at it: a layer that passes them on finds here whether to.
    pub const MESSAGE: Self = Self(1 << 7);
    /// The end of the session, likewise.
    pub const CLOSE: Self = Self(1 << 8);
    /// [`SessionEvent::Told`]
    pub const TOLD: Self = Self(1 << 9);

    /// Makes a set of its bits, as [`bits`](Self::bits) gives them.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The set as a number.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether there is nothing in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Watch {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
