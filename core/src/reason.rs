//! Why a socket was disconnected, in socket.io's words.

use std::fmt;

use ferrio_protocol::engine::CloseReason;

/// Why a socket left its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left the namespace: `client namespace disconnect`.
    ClientNamespaceDisconnect,
    /// The server put the socket out of the namespace: `server namespace disconnect`.
    ServerNamespaceDisconnect,
    /// The client broke the rules of Socket.IO, for instance by an event for a namespace to which it had not connected:
    /// `forced server close`.
    ForcedServerClose,
    /// The whole connection ended; the reason is the session's.
    Connection(CloseReason),
}

impl DisconnectReason {
    /// The string that applications see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ForcedServerClose => "forced server close",
            Self::Connection(reason) => reason.as_str(),
        }
    }

    /// Whether the client may come back and recover its session: it did not mean to leave, was not sent away, and sent
    /// nothing that cannot be read.
    pub fn is_recoverable(self) -> bool {
        !matches!(
            self,
            Self::ClientNamespaceDisconnect
                | Self::ServerNamespaceDisconnect
                | Self::Connection(CloseReason::ParseError)
        )
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
