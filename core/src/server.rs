//! A server, as the host has it.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferrio_engine::{CloseReason, ConfigError, Watch};
use ferrio_protocol::socket::PacketType;

use crate::{
    Events, Metrics, Writes,
    adapter::{Adapter, InMemory},
    client::{Entry, disconnect, watch},
    config::Config,
    event::{DisconnectedSocket, SessionEvent},
    key::SocketKey,
    namespace::Namespace,
    packet::payload::Payload,
    queue,
    reason::DisconnectReason,
    receive,
    rooms::selection::{Flags, Selection},
    socket::Socket,
    socket_io::{Connection, SocketIo},
};

/// A Socket.IO server. Cloning it gives another handle of the same server.
#[derive(Clone)]
pub struct Server {
    engine: ferrio_engine::Server<SocketIo>,
    pub(crate) shared: Arc<SocketIo>,
}

impl Server {
    /// Makes a server without a way in: nothing is listened to and no thread started before the first connection.
    ///
    /// `wake` is called, from any thread, when an event finds the host asleep; it must return at once and must not
    /// take a lock that the host holds while it calls the server.
    ///
    /// # Errors
    /// When an option is out of its bounds.
    pub fn new(
        config: Config,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, Events), ConfigError> {
        Self::with_adapter(config, wake, |_| Box::new(InMemory))
    }

    /// Makes a server whose namespaces are connected with other nodes by the adapters that `make_adapter` makes. When two
    /// threads make a namespace at the same moment, one of the two adapters is started and closed at once.
    ///
    /// # Errors
    /// When an option is out of its bounds.
    pub fn with_adapter(
        config: Config,
        wake: impl Fn() + Send + Sync + 'static,
        make_adapter: impl Fn(&Arc<str>) -> Box<dyn Adapter<Namespace>> + Send + Sync + 'static,
    ) -> Result<(Self, Events), ConfigError> {
        let shared = Arc::new(SocketIo::new(config, wake, Box::new(make_adapter))?);
        let (engine, deadlines) = (shared.config.engine.clone(), shared.deadlines.clone());
        let engine = ferrio_engine::Server::with_deadlines(engine, shared.clone(), deadlines)?;
        let events = queue::Events(shared.queue.clone());
        Ok((Self { engine, shared }, events))
    }

    /// The engine under it: its sessions, and the ways in.
    pub fn engine(&self) -> &ferrio_engine::Server<SocketIo> {
        &self.engine
    }

    /// The options.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// A namespace, made if it does not exist. A name without a leading `/` gets one. After the server's close it is one
    /// that nobody else knows.
    pub fn namespace(&self, name: &str) -> Arc<Namespace> {
        if name.starts_with('/') {
            self.shared.namespace(name, false)
        } else {
            self.shared.namespace(&format!("/{name}"), false)
        }
    }

    /// A namespace that exists.
    pub fn find_namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.shared.find_namespace(name)
    }

    /// Removes a namespace that nobody is in, nor on the way to, and returns whether it did. Any other stays; where
    /// [`cleanup_empty_child_namespaces`](Config::cleanup_empty_child_namespaces) says so it goes with its last client,
    /// unless it is [asked for](Self::namespace) again.
    pub fn remove_namespace(&self, name: &str) -> bool {
        let Some(namespace) = self.find_namespace(name) else { return false };
        // Before it is looked at: a client that goes meanwhile removes it.
        namespace.give_up();
        self.shared.remove_unwanted_namespace(&namespace)
    }

    /// Lets every namespace come into being that a client asks for. They go with their last client, where
    /// [`cleanup_empty_child_namespaces`](Config::cleanup_empty_child_namespaces) says so.
    pub fn allow_any_namespace(&self) {
        self.shared.allows_any_namespace.store(true, Ordering::Relaxed);
    }

    /// Every namespace.
    pub fn namespaces(&self) -> Vec<Arc<Namespace>> {
        self.shared.namespaces.read().values().cloned().collect()
    }

    /// A socket by its key, from its request to connect until the host has handled its disconnect.
    pub fn socket(&self, key: SocketKey) -> Option<Arc<Socket>> {
        self.shared.socket(key)
    }

    /// The socket that a connection has in a namespace, if it is connected to it.
    pub fn socket_of(&self, connection: &Connection, namespace: &str) -> Option<Arc<Socket>> {
        match connection.state().inbound.lock().entry(namespace)? {
            Entry::Connected(socket) => Some(socket.clone()),
            Entry::Asking(_) | Entry::Pending(_) => None,
        }
    }

    /// A snapshot of the counters, those of the engine among them.
    pub fn metrics(&self) -> Metrics {
        let (depth, bytes) = self.shared.queue.depth();
        self.shared.counters.host_queue_depth.set(depth);
        self.shared.counters.host_queue_bytes.set(bytes);
        Metrics { engine: self.engine.metrics(), socket_io: self.shared.counters.snapshot() }
    }

    /// Ends a connection at the host's own word. Returns the sockets that leave by it, as
    /// [`Socket::disconnect`] does; their reason is `forced close`.
    pub fn force_close(&self, connection: &Arc<Connection>) -> Vec<DisconnectedSocket> {
        disconnect::force_close(connection)
    }

    /// Takes a packet that the host has decoded from the messages of a connection, for
    /// [`Parser::Application`](crate::Parser): what follows from it comes on the queue like everything else. A packet that is
    /// not allowed at this time ends the connection. The payload is an array of arguments as JSON text, or what a CONNECT
    /// packet carries.
    pub fn receive(
        &self,
        connection: &Arc<Connection>,
        kind: PacketType,
        namespace: &str,
        id: Option<u64>,
        payload: Payload,
    ) {
        receive::packet(connection, &receive::ByHost { kind, namespace, id, payload });
    }

    /// Has the sockets of a connection leave that is over, for [`Parser::Application`](crate::Parser): the host has handled
    /// the messages that came before [`SessionEvent::Ending`], which says the reason.
    /// [`SessionEvent::Ended`] follows.
    pub fn end(&self, connection: &Arc<Connection>, reason: DisconnectReason) {
        disconnect::end(connection, reason);
        watch::push(connection, SessionEvent::Ended);
    }

    /// Has the host told of these events of a connection by [`HostEvent::Session`](crate::HostEvent::Session), and of no
    /// others. Returns `false` when the connection has ended: nothing will be told then. What sessions are watched for from
    /// their first packet on is said by [`watch_new_sessions`](ferrio_engine::Server::watch_new_sessions).
    pub fn watch(&self, connection: &Connection, events: Watch) -> bool {
        watch::watch(connection, events)
    }

    /// Has the host asked about requests from now on, as [`ask_allow_request`](crate::Config::ask_allow_request) does.
    pub fn ask_about_requests(&self, is_on: bool) {
        self.shared.asks_about_requests.store(is_on, Ordering::Relaxed);
    }

    /// Has the host told of requests that are refused, by [`HostEvent::Refused`](crate::HostEvent::Refused), or not. While
    /// the host is behind it is not told.
    pub fn tell_refusals(&self, is_on: bool) {
        self.shared.tells_refusals.store(is_on, Ordering::Relaxed);
    }

    /// Has the host told of acks for which the core does not wait, by
    /// [`HostEvent::UnexpectedAck`](crate::HostEvent::UnexpectedAck): for hosts that send packets of their own making.
    pub fn tell_unexpected_acks(&self) {
        self.shared.tells_unexpected_acks.store(true, Ordering::Relaxed);
    }

    /// Closes every connection with the reason `server shutting down`, and the listeners. Events that were queued for
    /// the host until then can still be drained; then [`Events`]`::next` returns `None`.
    pub fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Release);
        let connections = self.engine.sessions();
        self.engine.close();
        for connection in connections {
            // Another thread may have closed it just before, and not have come to telling the host.
            disconnect::end(&connection, DisconnectReason::Connection(CloseReason::ServerShutdown));
        }
        // The namespaces hold the server; without them it goes with its last handle.
        let namespaces = std::mem::take(&mut *self.shared.namespaces.write());
        for namespace in namespaces.into_values() {
            namespace.adapter.close();
        }
        self.shared.queue.close();
    }

    /// Closes in good order: lets no new session in (a handshake is answered with 503), sends `notice` to every socket,
    /// waits until all have left or `deadline` has passed, then closes as [`close`](Self::close) does. Returns how many
    /// were still there.
    pub async fn drain(&self, notice: Option<&Payload>, deadline: Duration) -> usize {
        self.engine.refuse_new_sessions();
        if let Some(notice) = notice {
            let mut writes = Writes::new();
            for namespace in self.namespaces() {
                namespace.emit(
                    &Selection::all(),
                    notice,
                    Flags { local: true, ..Flags::default() },
                    &mut writes,
                );
            }
        }
        let n_left = self.engine.drained(deadline).await;
        self.close();
        n_left
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("path", &self.shared.config.engine.path).finish_non_exhaustive()
    }
}
