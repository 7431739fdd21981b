//! What the application keeps with each socket, as far as the host has told it.

use std::sync::Arc;

use ahash::HashMap;
use ferrio::{Socket, SocketKey};
use parking_lot::Mutex;

/// The data of sockets as JSON text, while somebody is shown it.
///
/// It has what the application keeps with connected sockets, each within the bound that the host has set.
#[derive(Debug, Default)]
pub(super) struct Data(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_socket: HashMap<SocketKey, Arc<str>>,
    changed: Vec<Arc<Socket>>,
}

impl Data {
    /// Takes a socket's data.
    pub(super) fn set(&self, socket: Arc<Socket>, data: Arc<str>) {
        let mut state = self.0.lock();
        state.by_socket.insert(socket.key(), data);
        state.changed.push(socket);
    }

    /// A socket's data, if it has any.
    pub(super) fn of(&self, socket: &Socket) -> Option<Arc<str>> {
        self.0.lock().by_socket.get(&socket.key()).cloned()
    }

    /// The sockets whose data has been set since the last call.
    pub(super) fn take_changed(&self) -> Vec<Arc<Socket>> {
        std::mem::take(&mut self.0.lock().changed)
    }

    /// Forgets a socket.
    pub(super) fn forget(&self, socket: &Socket) {
        self.0.lock().by_socket.remove(&socket.key());
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        *self.0.lock() = State::default();
    }
}
