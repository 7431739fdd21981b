//! A server: its options, its sessions, its namespaces.

use std::{
    fmt,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use ahash::HashMap;
use ferrio_protocol::{
    engine::{self, CloseReason, Protocol, SessionConfig, TransportKind},
    socket as codec,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::{
    ack::{AckOutcome, AckStatus},
    adapter::{Adapter, InMemory},
    config::{Config, ConfigError, Parser},
    connection::Connection,
    deadlines::{Deadlines, Due},
    farewell::{self, Farewell, Farewells},
    frame::Frame,
    handshake::{Handshake, RequestHead},
    ids::random_id,
    join,
    memory::Leavings,
    metrics::{Counters, Metrics},
    namespace::Namespace,
    outbox::{Class, Outbox},
    payload::Payload,
    polling::PollAnswer,
    queue::{Events, HostEvent, HostQueue},
    reason::DisconnectReason,
    runtime::runtime,
    selection::{Flags, Selection},
    socket::{Socket, SocketKey},
    writes::Writes,
};

/// Random bytes of a session's id: 120 bits, 20 characters, as in engine.io.
const SESSION_ID_BYTES: usize = 15;

/// A Socket.IO server. Cloning it gives another handle of the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

/// What the handles of a server share with its connections and namespaces.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) packet_limits: codec::Limits,
    pub(crate) queue: Arc<HostQueue>,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) counters: Counters,
    pub(crate) make_adapter: MakeAdapter,
    /// Bytes of the answers that are being gathered.
    pub(crate) ack_bytes: AtomicUsize,
    connections: Mutex<HashMap<Arc<str>, Arc<Connection>>>,
    n_connections: AtomicUsize,
    pub(crate) farewells: Farewells,
    leavings: Arc<Leavings>,
    namespaces: RwLock<HashMap<Arc<str>, Arc<Namespace>>>,
    matchers: RwLock<Vec<Matcher>>,
    sockets: RwLock<HashMap<SocketKey, Arc<Socket>>>,
    /// Whether no new session is let in.
    is_draining: AtomicBool,
    is_closed: AtomicBool,
    /// Rung when the server closes, for the tasks that accept connections.
    closing: Notify,
    /// Rung when a connection has ended.
    emptied: Notify,
    started: Once,
}

type MakeAdapter = Box<dyn Fn(&Arc<str>) -> Box<dyn Adapter> + Send + Sync>;

type Matcher = Arc<dyn Fn(&str) -> bool + Send + Sync>;

impl Server {
    /// Makes a server without a door: nothing is listened to and no thread started before the first connection.
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
        make_adapter: impl Fn(&Arc<str>) -> Box<dyn Adapter> + Send + Sync + 'static,
    ) -> Result<(Self, Events), ConfigError> {
        config.validate()?;
        let queue = Arc::new(HostQueue::new(&config.limits, Box::new(wake)));
        let packet_limits = codec::Limits {
            // In the MessagePack form binary values are inline, bounded by the message.
            max_attachments: match config.parser {
                Parser::Json => config.limits.max_attachments,
                Parser::Msgpack => usize::MAX,
            },
            max_attachment_bytes: config
                .max_http_buffer_size
                .saturating_mul(config.limits.max_attachments.max(1)),
            max_depth: config.limits.max_depth,
            ..codec::Limits::default()
        };
        let shared = Shared {
            config,
            packet_limits,
            queue: queue.clone(),
            deadlines: Arc::default(),
            counters: Counters::default(),
            make_adapter: Box::new(make_adapter),
            ack_bytes: AtomicUsize::new(0),
            connections: Mutex::default(),
            n_connections: AtomicUsize::new(0),
            farewells: Farewells::default(),
            leavings: Arc::default(),
            namespaces: RwLock::default(),
            matchers: RwLock::default(),
            sockets: RwLock::default(),
            is_draining: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            closing: Notify::new(),
            emptied: Notify::new(),
            started: Once::new(),
        };
        Ok((Self(Arc::new(shared)), Events(queue)))
    }

    /// The options.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// A namespace, made if it does not exist. A name without a leading `/` gets one. After the server's close it is one
    /// that nobody else knows.
    pub fn namespace(&self, name: &str) -> Arc<Namespace> {
        if name.starts_with('/') {
            self.0.namespace(name, false)
        } else {
            self.0.namespace(&format!("/{name}"), false)
        }
    }

    /// A namespace that exists.
    pub fn find_namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.0.find_namespace(name)
    }

    /// Removes a namespace that has no sockets, and returns whether it did.
    pub fn remove_namespace(&self, name: &str) -> bool {
        self.find_namespace(name).is_some_and(|namespace| self.0.remove_empty_namespace(&namespace))
    }

    /// Lets every namespace whose name matches come into being when a client asks for it.
    pub fn dynamic_namespace(&self, matches: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.0.matchers.write().push(Arc::new(matches));
    }

    /// Every namespace.
    pub fn namespaces(&self) -> Vec<Arc<Namespace>> {
        self.0.namespaces.read().values().cloned().collect()
    }

    /// A socket by its key, from its admission until its departure is finished.
    pub fn socket(&self, key: SocketKey) -> Option<Arc<Socket>> {
        self.0.sockets.read().get(&key).cloned()
    }

    /// A connection by its id, as long as the server knows of it.
    pub fn connection(&self, id: &str) -> Option<Arc<Connection>> {
        self.0.find_connection(id)
    }

    /// How many sessions are open.
    pub fn n_connections(&self) -> usize {
        self.0.n_connections()
    }

    /// Whether a request's path belongs to the server.
    pub fn is_engine_path(&self, path: &str) -> bool {
        is_under(&self.0.config.path, path)
    }

    /// A snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        self.0.queue.measure(&self.0.counters);
        self.0.counters.snapshot()
    }

    /// Closes every connection with the reason `server shutting down`, and the listeners. Events that were queued for
    /// the host until then can still be drained; then [`Events::next`] returns `None`.
    pub fn close(&self) {
        self.0.is_draining.store(true, Ordering::Release);
        self.0.is_closed.store(true, Ordering::Release);
        self.0.closing.notify_waiters();
        for connection in self.0.all_connections() {
            connection.close(CloseReason::ServerShutdown);
            // Another thread may have closed it just before, and not have come to telling the host.
            connection.end(DisconnectReason::Connection(CloseReason::ServerShutdown));
        }
        // The namespaces hold the server; without them it goes with its last handle.
        let namespaces = std::mem::take(&mut *self.0.namespaces.write());
        for namespace in namespaces.into_values() {
            namespace.adapter.close();
        }
        self.0.matchers.write().clear();
        self.0.deadlines.close();
        self.0.queue.close();
    }

    /// Closes in good order: lets no new session in (a handshake is answered with 503), sends `notice` to every socket,
    /// waits until all have left or `deadline` has passed, then closes as [`close`](Self::close) does. Returns how many
    /// were still there.
    pub async fn drain(&self, notice: Option<&Payload>, deadline: Duration) -> usize {
        self.0.is_draining.store(true, Ordering::Release);
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
        let empty = async {
            loop {
                let emptied = self.0.emptied.notified();
                if self.n_connections() == 0 {
                    return;
                }
                emptied.await;
            }
        };
        let _ = tokio::time::timeout(deadline, empty).await;
        let n_left = self.n_connections();
        self.close();
        n_left
    }

    /// Waits until the server closes.
    pub(crate) async fn closing(&self) {
        let closing = self.0.closing.notified();
        if !self.0.is_closed.load(Ordering::Acquire) {
            closing.await;
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Shared {
    pub(crate) fn is_msgpack(&self) -> bool {
        self.config.parser == Parser::Msgpack
    }

    /// Whether no new session is let in.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    pub(crate) fn session_config(&self) -> SessionConfig {
        SessionConfig {
            ping_interval: self.config.ping_interval,
            ping_timeout: self.config.ping_timeout,
            upgrade_timeout: self.config.upgrade_timeout,
            allow_upgrades: self.config.allow_upgrades && self.config.transports.websocket,
        }
    }

    // Sessions.

    /// Opens a session, its open packet queued; `None` when others have taken the last places meanwhile.
    pub(crate) fn open_connection(
        self: &Arc<Self>,
        head: RequestHead,
        protocol: Protocol,
        transport: TransportKind,
    ) -> Option<Arc<Connection>> {
        let max = self.config.limits.max_connections;
        let count = |n_connections| (n_connections < max).then_some(n_connections + 1);
        let n_others = self.n_connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        // Sessions that have ended leave their places to new ones.
        if n_others + self.farewells.len() >= max
            && let Some(oldest) = self.farewells.take_oldest()
        {
            self.deadlines.cancel(oldest.due);
        }
        self.start();
        let id: Arc<str> = Arc::from(random_id(SESSION_ID_BYTES));
        let handshake = Arc::new(Handshake { head, issued: SystemTime::now() });
        let connection = Arc::new(Connection::new(
            id.clone(),
            self.clone(),
            handshake,
            protocol,
            transport,
            Instant::now(),
        ));
        let counters = &self.counters;
        counters.connections_opened.add(1);
        match transport {
            TransportKind::Polling => counters.connections_polling.add(1),
            TransportKind::WebSocket => counters.connections_websocket.add(1),
        }
        self.connections.lock().insert(id.clone(), connection.clone());
        let upgrades: &[TransportKind] = match transport {
            TransportKind::Polling if self.session_config().allow_upgrades => &[TransportKind::WebSocket],
            _ => &[],
        };
        let open = engine::Handshake {
            sid: &id,
            upgrades,
            config: &self.session_config(),
            max_payload: self.config.max_http_buffer_size,
        };
        let text = engine::handshake(protocol, &open);
        let packet = Frame::text(text.len(), |out| out.push_str(&text)).into();
        // Nothing is flushed yet: the transport is not attached.
        let mut writes = Writes::new();
        connection.push(&packet, Class::Control, Flags::default(), &mut writes);
        if self.is_closed.load(Ordering::Acquire) {
            // Closing looks at the sessions after it has set the flag, so one of the two sees the other.
            connection.close(CloseReason::ServerShutdown);
        }
        if protocol == Protocol::V3 {
            join::older_client(&connection);
        }
        let remote = &connection.handshake().head.remote;
        tracing::debug!(?remote, transport = transport.as_str(), ?protocol, "session opened");
        Some(connection)
    }

    /// Starts the task that keeps the deadlines. Not before there is one: a server may be made before a fork.
    pub(crate) fn start(&self) {
        self.started.call_once(|| {
            let deadlines = self.deadlines.clone();
            // Ends after the server has closed, and the last polling client was told or given up.
            runtime().spawn(async move { deadlines.run().await });
        });
    }

    pub(crate) fn find_connection(&self, id: &str) -> Option<Arc<Connection>> {
        self.connections.lock().get(id).cloned()
    }

    fn all_connections(&self) -> Vec<Arc<Connection>> {
        self.connections.lock().values().cloned().collect()
    }

    pub(crate) fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::Relaxed)
    }

    /// Takes note of a session that has ended, and was counted as one on this transport.
    pub(crate) fn connection_closed(&self, connection: &Connection, counted_as: TransportKind) {
        let counters = &self.counters;
        counters.connections_closed.add(1);
        match counted_as {
            TransportKind::Polling => counters.connections_polling.sub(1),
            TransportKind::WebSocket => counters.connections_websocket.sub(1),
        }
        self.forget_connection(connection);
        self.leavings.add();
        if self.n_connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Keeps what a client has to hear that did not poll when its session ended.
    pub(crate) fn bid_farewell(self: &Arc<Self>, connection: &Arc<Connection>, outbox: Outbox) {
        let id = connection.id();
        let expiry = Due::Farewell(Arc::downgrade(self), id.clone());
        let due = self.deadlines.add(Instant::now() + farewell::KEPT_FOR, expiry);
        let protocol = connection.protocol();
        let connection = Arc::downgrade(connection);
        self.farewells.add(id.clone(), Farewell { protocol, outbox, connection, due });
    }

    /// Ends a farewell before its time.
    pub(crate) fn end_farewell(&self, id: &str) -> Option<Farewell> {
        let farewell = self.farewells.take(id)?;
        self.deadlines.cancel(farewell.due);
        Some(farewell)
    }

    /// The answer to a poll of a session that has ended, if there is something to tell.
    pub(crate) fn answer_ended(&self, id: &str, supports_binary: bool) -> Option<PollAnswer> {
        let max_packets = self.config.limits.max_packets_per_poll;
        let (answer, told) = self.farewells.answer(id, supports_binary, max_packets)?;
        if let Some(told) = told {
            self.deadlines.cancel(told.due);
            if let Some(connection) = told.connection.upgrade() {
                // The client knows: a WebSocket that is being probed is of no use any more.
                connection.input(|session| session.transport_lost(TransportKind::WebSocket, false));
            }
        }
        Some(answer)
    }

    fn forget_connection(&self, connection: &Connection) {
        let removed = self.connections.lock().remove(connection.id());
        // Dropped after the lock: it may be the last handle.
        drop(removed);
    }

    // Namespaces.

    pub(crate) fn find_namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.read().get(name).cloned()
    }

    /// A namespace that exists, for a client that wants to join it. It stays until the client has settled.
    pub(crate) fn find_for_client(&self, name: &str) -> Option<Arc<Namespace>> {
        let namespaces = self.namespaces.read();
        let namespace = namespaces.get(name)?;
        // Under the lock, so that it is not removed before it knows of the client.
        namespace.expect();
        Some(namespace.clone())
    }

    /// The same of a namespace that a matcher lets come into being. Runs functions of the host: never under a lock.
    pub(crate) fn match_for_client(self: &Arc<Self>, name: &str) -> Option<Arc<Namespace>> {
        let matchers = self.matchers.read().clone();
        if !matchers.iter().any(|matches| matches(name)) {
            return None;
        }
        loop {
            self.namespace(name, true);
            // Its last client may have left it meanwhile.
            let found = self.find_for_client(name);
            if found.is_some() || self.is_closed.load(Ordering::Acquire) {
                return found;
            }
        }
    }

    fn namespace(self: &Arc<Self>, name: &str, is_dynamic: bool) -> Arc<Namespace> {
        if let Some(namespace) = self.find_namespace(name) {
            if !is_dynamic {
                namespace.stay();
            }
            return namespace;
        }
        // Its adapter is the host's own, so this is done under no lock, and before anybody can find the namespace.
        let made = Arc::new(Namespace::new(Arc::from(name), self.clone(), is_dynamic));
        made.adapter.start(&made);
        let mut namespaces = self.namespaces.write();
        if self.is_closed.load(Ordering::Acquire) {
            drop(namespaces);
            // Nobody will join it, and it would keep the server: the namespaces have been let go of.
            made.adapter.close();
            return made;
        }
        let found = namespaces.entry(made.name().clone()).or_insert_with(|| made.clone()).clone();
        drop(namespaces);
        if !Arc::ptr_eq(&found, &made) {
            // Another thread was quicker.
            made.adapter.close();
        }
        found
    }

    pub(crate) fn remove_empty_namespace(&self, namespace: &Arc<Namespace>) -> bool {
        let mut namespaces = self.namespaces.write();
        let is_current =
            namespaces.get(namespace.name()).is_some_and(|current| Arc::ptr_eq(current, namespace));
        let is_removed = is_current && namespace.is_empty() && namespaces.remove(namespace.name()).is_some();
        drop(namespaces);
        if is_removed {
            namespace.adapter.close();
        }
        is_removed
    }

    // Sockets.

    /// Reports an ack that did not come in time.
    pub(crate) fn ack_timed_out(&self, token: u64) {
        self.counters.acks_timed_out.add(1);
        let outcome = AckOutcome { answers: Vec::new(), status: AckStatus::TimedOut };
        self.queue.push(HostEvent::Ack { token, outcome });
    }

    pub(crate) fn register(&self, socket: &Arc<Socket>) {
        self.sockets.write().insert(socket.key(), socket.clone());
    }

    pub(crate) fn unregister(&self, key: SocketKey) {
        let removed = self.sockets.write().remove(&key);
        drop(removed);
    }
}

/// Whether `path` is `base` or stands below it.
pub(crate) fn is_under(base: &str, path: &str) -> bool {
    let below = path.strip_prefix(base.trim_end_matches('/'));
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("path", &self.0.config.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
