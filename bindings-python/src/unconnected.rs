//! Clients that are not in: whose connect handler is at work, or that have gone before it let them in.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use ferrio::{ConnectRequest, Credit, Socket};
use parking_lot::Mutex;

/// Those clients of one server, by their ids.
#[derive(Default)]
pub(crate) struct Unconnected(Mutex<HashMap<Arc<str>, Client>>);

/// A client that is in no room, but that its handlers may use.
enum Client {
    /// Its connect handler has not decided yet.
    Connecting(ConnectRequest),
    /// It has gone before its connect handler let it in, and its disconnect handler is at work.
    Leaving(Arc<Socket>),
}

impl Client {
    fn socket(&self) -> &Arc<Socket> {
        match self {
            Self::Connecting(connect_request) => connect_request.socket(),
            Self::Leaving(socket) => socket,
        }
    }
}

impl Unconnected {
    /// A client by its id.
    pub(crate) fn socket(&self, id: &str) -> Option<Arc<Socket>> {
        self.0.lock().get(id).map(|client| client.socket().clone())
    }

    /// The clients of which this is true.
    pub(crate) fn sockets(&self, is_meant: impl Fn(&Socket) -> bool) -> Vec<Arc<Socket>> {
        let clients = self.0.lock();
        clients.values().map(Client::socket).filter(|socket| is_meant(socket)).cloned().collect()
    }

    pub(crate) fn contains(&self, socket: &Socket) -> bool {
        self.0.lock().contains_key(socket.id())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Keeps a client that is asked about.
    pub(crate) fn keep_connecting(&self, connect_request: ConnectRequest) {
        let id = connect_request.socket().id().clone();
        let former = self.0.lock().insert(id, Client::Connecting(connect_request));
        drop(former);
    }

    /// Keeps a client that leaves, unless it has come back meanwhile under the same id.
    pub(crate) fn keep_leaving(&self, socket: &Arc<Socket>) {
        let mut clients = self.0.lock();
        clients.entry(socket.id().clone()).or_insert_with(|| Client::Leaving(socket.clone()));
    }

    /// Forgets a client that leaves.
    pub(crate) fn forget_leaving(&self, socket: &Arc<Socket>) {
        let client = self.take(socket, |client| matches!(client, Client::Leaving(_)));
        drop(client);
    }

    /// What takes the decision about a client whose connect handler is at work.
    pub(crate) fn take_admission(&self, socket: &Arc<Socket>) -> Option<ConnectRequest> {
        match self.take(socket, |client| matches!(client, Client::Connecting(_))) {
            Some(Client::Connecting(connect_request)) => Some(connect_request),
            _ => None,
        }
    }

    /// Takes a client, if `is_meant` still holds.
    fn take(&self, socket: &Arc<Socket>, is_meant: impl FnOnce(&Client) -> bool) -> Option<Client> {
        let mut clients = self.0.lock();
        let client = clients.get(socket.id())?;
        if Arc::ptr_eq(client.socket(), socket) && is_meant(client) {
            clients.remove(socket.id())
        } else {
            None
        }
    }
}

/// A client whose connect handler is at work. Whatever becomes of that, nothing is left behind of the client.
pub(crate) enum Connecting {
    /// One that waits to be let in. When nobody decides, it is refused.
    Waiting(Arc<Unconnected>, Arc<Socket>),
    /// One that was let in before its handler was asked. It may leave and come again, and be asked about as often.
    In(Weak<Socket>, #[expect(dead_code, reason = "it is dropped")] Credit),
}

impl Connecting {
    pub(crate) fn waiting(unconnected: &Arc<Unconnected>, connect_request: ConnectRequest) -> Self {
        let socket = connect_request.socket().clone();
        unconnected.keep_connecting(connect_request);
        Self::Waiting(unconnected.clone(), socket)
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Self::Waiting(unconnected, socket) = self {
            let connect_request = unconnected.take_admission(socket);
            drop(connect_request);
        }
    }
}
