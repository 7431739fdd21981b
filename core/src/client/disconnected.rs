//! A socket that has left, while its rooms are still known.

use std::{fmt, sync::Arc};

use crate::{event::DisconnectedSocket, reason::DisconnectReason, socket::Socket};

impl DisconnectedSocket {
    pub(crate) fn new(socket: Arc<Socket>, reason: DisconnectReason, is_final: bool) -> Self {
        Self { socket, reason, is_final }
    }

    /// The socket that has left.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Why it has left.
    pub fn reason(&self) -> DisconnectReason {
        self.reason
    }

    /// Takes the socket out of its rooms.
    pub fn finish(self) {}
}

impl Drop for DisconnectedSocket {
    fn drop(&mut self) {
        let namespace = self.socket.namespace();
        namespace.forget(&self.socket);
        if self.is_final && namespace.keeps_events() {
            // Only now, so that the host hears of the disconnect first.
            namespace.forget_sessions([self.socket.key()]);
        }
    }
}

impl fmt::Debug for DisconnectedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DisconnectedSocket")
            .field("socket", self.socket.id())
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
