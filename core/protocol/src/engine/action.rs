//! What comes out of a session: actions, and the reasons for refusing and for ending.

use std::fmt;

use crate::engine::TransportKind;

/// What the owner of a session has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a packet on this transport, after what already waits there.
    Send {
        /// Where to send it; while upgrading this may be the probe.
        on: TransportKind,
        /// What to send.
        packet: ControlPacket,
    },
    /// A probe was answered. The client stops polling before it upgrades, so the hanging poll is answered with
    /// a noop at once, and so is every further poll while [`Session::releases_polls`](crate::engine::Session::releases_polls) holds.
    ReleasePoll,
    /// The WebSocket is the transport from now on, and polling is over.
    Upgraded,
    /// The probed WebSocket is to be dropped, and polling goes on.
    UpgradeFailed,
    /// The session is over, and all its transports are to be closed.
    ///
    /// When the client ended it, a hanging poll is answered with a noop. When the server did, a hanging poll is
    /// answered with a close packet, or the next poll with a noop and a close packet. While
    /// [`Session::is_upgrading`](crate::engine::Session::is_upgrading) still holds the client may come to the probed
    /// WebSocket instead, which is left open until then.
    Closed(CloseReason),
}

/// A packet that is not for the layer above: those of the session machine, and what its owner says at the end of a
/// session or of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlPacket {
    /// The heartbeat of revision 4.
    Ping,
    /// The answer to a ping of revision 3. It carries nothing, whatever the ping carried.
    Pong,
    /// The answer to the probe of an upgrade.
    ProbePong,
    /// The end of the session.
    Close,
    /// Nothing: it ends a poll.
    Noop,
}

impl ControlPacket {
    /// Returns the whole packet as text.
    pub const fn as_text(self) -> &'static str {
        match self {
            Self::Ping => "2",
            Self::Pong => "3",
            Self::ProbePong => "3probe",
            Self::Close => "1",
            Self::Noop => "6",
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed its transport, or sent a close packet.
    TransportClose,
    /// The transport broke, or the peer broke the rules of Engine.IO.
    TransportError,
    /// The peer was silent for too long.
    PingTimeout,
    /// The peer sent what is no engine packet.
    ParseError,
    /// The server ended this session.
    ForcedClose,
    /// The server ends all its sessions.
    ServerShutdown,
    /// The peer reads so slowly that its outbox is full, and the operator chose to disconnect such peers.
    SlowReader,
}

impl CloseReason {
    /// Tells whether it is the server that wanted it, so that the client may not know yet.
    pub(super) const fn is_by_server(self) -> bool {
        !matches!(self, Self::TransportClose | Self::TransportError | Self::ParseError)
    }

    /// Returns the reason in the words of the official server, where it has any.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ServerShutdown => "server shutting down",
            Self::SlowReader => "slow reader",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a WebSocket that came for a session is turned away. The session itself goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpgradeRefused {
    /// Another WebSocket is being probed.
    AlreadyUpgrading,
    /// The session has a WebSocket already.
    AlreadyUpgraded,
    /// The operator allows no upgrades.
    NotAllowed,
    /// The session is over.
    Closed,
}

impl fmt::Display for UpgradeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyUpgrading => "session is already upgrading",
            Self::AlreadyUpgraded => "session is already upgraded",
            Self::NotAllowed => "upgrades are not allowed",
            Self::Closed => "session is closed",
        })
    }
}

impl std::error::Error for UpgradeRefused {}
