//! The decision whether a client may connect to a namespace.

use std::{fmt, sync::Arc};

use ferrio_engine::runtime;

use crate::{
    Writes,
    client::{Entry, disconnect},
    event::ConnectRequest,
    rooms::log::Restored,
    socket::{Socket, Stage},
};

/// The client has gone before it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientDisconnected;

impl fmt::Display for ClientDisconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client has gone before it was accepted")
    }
}

impl std::error::Error for ClientDisconnected {}

impl ConnectRequest {
    pub(crate) fn new(socket: Arc<Socket>, restored: Option<Restored>) -> Self {
        Self { socket, restored: restored.map(Box::new), is_decided: false }
    }

    /// The socket that the client will be.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Has the client come as another socket, under an id and a secret of the host's choice, which it gets to know when it is
    /// let in: for hosts that keep sessions themselves. The socket so far is no more.
    ///
    /// # Errors
    /// When the client has gone.
    pub fn identify(mut self, id: &str, private_id: &str) -> Result<Self, ClientDisconnected> {
        self.is_decided = true;
        let mut inbound = self.socket.connection().state().inbound.lock();
        match inbound.entry(self.socket.namespace().name()) {
            Some(Entry::Pending(pending)) if Arc::ptr_eq(pending, &self.socket) => {
                let socket = Arc::new(self.socket.identified(Arc::from(id), Arc::from(private_id)));
                *pending = socket.clone();
                *self.socket.stage.lock() = Stage::Disconnected;
                Ok(Self::new(socket, None))
            }
            _ => Err(ClientDisconnected),
        }
    }

    /// Lets the client in.
    ///
    /// # Errors
    /// When the client has gone. It then never was in the namespace, and no disconnect follows.
    pub fn accept(mut self, writes: &mut Writes) -> Result<(), ClientDisconnected> {
        self.is_decided = true;
        if self.socket.accept(self.restored.take().map(|restored| *restored), writes) {
            Ok(())
        } else {
            Err(ClientDisconnected)
        }
    }

    /// Keeps the client out, with a message and, if given, more data as JSON text.
    pub fn refuse(mut self, message: &str, data: Option<&str>, writes: &mut Writes) {
        self.is_decided = true;
        decline(&self.socket, self.restored.take(), message, data, writes);
    }
}

fn decline(
    socket: &Socket,
    restored: Option<Box<Restored>>,
    message: &str,
    data: Option<&str>,
    writes: &mut Writes,
) {
    disconnect::refuse(socket.connection(), socket.namespace().name(), message, data, writes);
    socket.namespace().client_refused(socket);
    socket.namespace().forget_sessions(restored.map(|restored| restored.session.key));
}

impl Drop for ConnectRequest {
    fn drop(&mut self) {
        if !self.is_decided {
            let (socket, restored) = (self.socket.clone(), self.restored.take());
            // Perhaps dropped by a closed queue, under the connection's lock; so not done here. It ends at once.
            runtime().spawn(async move {
                decline(&socket, restored, "Connection refused by server", None, &mut Writes::new());
            });
        }
    }
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectRequest")
    }
}
