//! The decision whether a client may join a namespace.

use std::{fmt, sync::Arc};

use crate::{recovery::Restored, runtime::runtime, socket::Socket, writes::Writes};

/// Takes the decision about one client, at once or later, from any thread.
///
/// Dropped without a decision, the client is refused with the message `Connection refused by server`: nobody is left
/// waiting.
pub struct Admission {
    state: Option<(Arc<Socket>, Option<Restored>)>,
}

/// The client has gone before it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client has gone before it was accepted")
    }
}

impl std::error::Error for Gone {}

impl Admission {
    pub(crate) fn new(socket: Arc<Socket>, restored: Option<Restored>) -> Self {
        Self { state: Some((socket, restored)) }
    }

    /// The socket that the client will be.
    pub fn socket(&self) -> &Arc<Socket> {
        let (socket, _) = self.state.as_ref().expect("only a decision takes it, and consumes the admission");
        socket
    }

    /// Lets the client in.
    ///
    /// # Errors
    /// When the client has gone. It then never was in the namespace, and no disconnect follows.
    pub fn accept(mut self, writes: &mut Writes) -> Result<(), Gone> {
        let Some((socket, restored)) = self.state.take() else { return Err(Gone) };
        if socket.admit(restored, writes) { Ok(()) } else { Err(Gone) }
    }

    /// Keeps the client out, with a message and, if given, more data as JSON text.
    pub fn refuse(mut self, message: &str, data: Option<&str>, writes: &mut Writes) {
        if let Some((socket, restored)) = self.state.take() {
            decline(&socket, restored, message, data, writes);
        }
    }
}

fn decline(
    socket: &Socket,
    restored: Option<Restored>,
    message: &str,
    data: Option<&str>,
    writes: &mut Writes,
) {
    socket.connection().refuse(socket.namespace().name(), message, data, writes);
    socket.namespace().forget_sessions(restored.map(|restored| restored.session.key));
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some((socket, restored)) = self.state.take() {
            // Perhaps dropped by a closed queue, under the connection's lock; so not done here. It ends at once.
            runtime().spawn(async move {
                decline(&socket, restored, "Connection refused by server", None, &mut Writes::new());
            });
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}
