//! A server: its options, and its sessions.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ahash::HashMap;
use ferrio_protocol::engine::{self as protocol, CloseReason, Data, Protocol, SessionConfig, TransportKind};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::{
    changes::{Changes, Current},
    config::{Config, ConfigError},
    deadlines::{DeadlineKey, Deadlines, Due, Expire},
    deflate::Terms,
    ids::random_id,
    layer::{Admitted, Layer},
    memory::ClosedSessions,
    metrics::{Counters, Metrics},
    packet::{
        frame::Frame,
        outbox::{Outbox, SendOptions},
        shared::SharedForms,
    },
    request::{Handshake, Refusal},
    session::{
        Session, SessionEvent,
        ended::{self, Ended, EndedSessions, Told},
        events::Watch,
        poll::PollAnswer,
    },
};

/// Random bytes of a session's id: 120 bits, 20 characters, as in engine.io.
const SESSION_ID_BYTES: usize = 15;

/// An Engine.IO server under a layer. Cloning it gives another handle of the same server.
pub struct Server<L: Layer>(Arc<Shared<L>>);

impl<L: Layer> Clone for Server<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What the handles of a server share with its sessions.
pub(crate) struct Shared<L: Layer> {
    /// The first options, some of which may have [changed](Self::current) since.
    pub(crate) config: Config,
    changes: Changes,
    pub(crate) layer: Arc<L>,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) counters: Counters,
    pub(crate) ended: EndedSessions<Session<L>>,
    /// How WebSocket messages may be compressed, if at all.
    pub(crate) deflate: Option<Terms>,
    pub(crate) forms_for_many: SharedForms,
    sessions: Mutex<HashMap<Arc<str>, Arc<Session<L>>>>,
    n_sessions: AtomicUsize,
    closed_sessions: Arc<ClosedSessions>,
    /// What sessions that open from now on are watched for.
    watch_new: AtomicU16,
    asks_for_headers: AtomicBool,
    /// What every session is sent first.
    greeting: RwLock<Option<Greeting>>,
    /// Whether no new session is let in.
    is_draining: AtomicBool,
    is_closed: AtomicBool,
    /// Rung when the server closes, for the tasks that accept connections.
    closing: Notify,
    /// Rung when a session has ended.
    emptied: Notify,
}

impl<L: Layer> Server<L> {
    /// Makes a server: nothing is listened to and no thread started before the first session.
    ///
    /// # Errors
    /// When an option is out of its bounds.
    pub fn new(config: Config, layer: L) -> Result<Self, ConfigError> {
        Self::with_deadlines(config, Arc::new(layer), Arc::default())
    }

    /// Makes a server whose deadlines the layer shares.
    ///
    /// # Errors
    /// When an option is out of its bounds.
    pub fn with_deadlines(
        config: Config,
        layer: Arc<L>,
        deadlines: Arc<Deadlines>,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let shared = Shared {
            deflate: config.per_message_deflate.map(Terms::new),
            forms_for_many: SharedForms::default(),
            config,
            changes: Changes::default(),
            layer,
            deadlines,
            counters: Counters::default(),
            ended: EndedSessions::default(),
            sessions: Mutex::default(),
            n_sessions: AtomicUsize::new(0),
            closed_sessions: Arc::default(),
            watch_new: AtomicU16::new(0),
            asks_for_headers: AtomicBool::new(false),
            greeting: RwLock::default(),
            is_draining: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            closing: Notify::new(),
            emptied: Notify::new(),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The options that it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Changes options of a server that runs. Those that a session or request is checked against as it begins hold from
    /// now on: transports, cross-origin rules and cookie, compression of bodies, sizes, and the times of new sessions. Path,
    /// limits and outbox stay as they were.
    ///
    /// # Errors
    /// When an option is out of its bounds. Then nothing changes.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.validate()?;
        self.0.changes.set(config);
        Ok(())
    }

    /// What stands on the engine.
    pub fn layer(&self) -> &Arc<L> {
        &self.0.layer
    }

    /// A session by its id, as long as it is open.
    pub fn session(&self, id: &str) -> Option<Arc<Session<L>>> {
        self.0.find_session(id)
    }

    /// Every session that is open.
    pub fn sessions(&self) -> Vec<Arc<Session<L>>> {
        self.0.sessions.lock().values().cloned().collect()
    }

    /// Whether a session has ended whose client did not poll at that time, and has not been told yet.
    pub fn has_ended_untold(&self, id: &str) -> bool {
        self.0.ended.protocol(id).is_some()
    }

    /// Forgets such a session: its client will find it unknown.
    pub fn forget_ended(&self, id: &str) {
        drop(self.0.take_ended(id));
    }

    /// How many sessions are open.
    pub fn n_sessions(&self) -> usize {
        self.0.n_sessions()
    }

    /// Watches sessions that open from now on for these events, from [`Layer::opened`] on.
    pub fn watch_new_sessions(&self, events: Watch) {
        self.0.watch_new.store(events.bits(), Ordering::Relaxed);
    }

    /// Whether [`Layer::headers`] is asked.
    pub fn asks_for_headers(&self) -> bool {
        self.0.asks_for_headers()
    }

    /// Has [`Layer::headers`] asked for every answer, or for none.
    pub fn ask_for_headers(&self, is_on: bool) {
        self.0.asks_for_headers.store(is_on, Ordering::Relaxed);
    }

    /// Sends this message to every session that opens from now on, behind its open packet and with it: `initialPacket` in
    /// engine.io.
    pub fn greet(&self, message: Option<&Data<'_>>) {
        *self.0.greeting.write() = message.map(|message| match message {
            Data::Text(text) => Greeting::Text(Frame::message_text(text)),
            Data::Binary(bytes) => Greeting::Binary(bytes.clone().into_owned()),
        });
    }

    /// Whether a request's path belongs to the server.
    pub fn is_engine_path(&self, path: &str) -> bool {
        is_under(&self.0.config.path, path)
    }

    /// A snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        self.0.counters.snapshot()
    }

    /// Lets no new session in from now on: a handshake is answered with 503.
    pub fn refuse_new_sessions(&self) {
        self.0.is_draining.store(true, Ordering::Release);
    }

    /// Waits until no session is open, or the time is up. Returns how many were still there.
    pub async fn drained(&self, deadline: Duration) -> usize {
        let empty = async {
            loop {
                let emptied = self.0.emptied.notified();
                if self.n_sessions() == 0 {
                    return;
                }
                emptied.await;
            }
        };
        let _ = tokio::time::timeout(deadline, empty).await;
        self.n_sessions()
    }

    /// Closes every session with the reason `server shutting down`, and the listeners.
    pub fn close(&self) {
        self.refuse_new_sessions();
        self.0.is_closed.store(true, Ordering::Release);
        self.0.closing.notify_waiters();
        for session in self.sessions() {
            session.close(CloseReason::ServerShutdown);
        }
        self.0.deadlines.close();
    }

    /// Waits until the server closes.
    pub(crate) async fn closing(&self) {
        let closing = self.0.closing.notified();
        if !self.0.is_closed.load(Ordering::Acquire) {
            closing.await;
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<L>> {
        &self.0
    }
}

/// The first message of a session, encoded as far as that is the same for all.
enum Greeting {
    Text(Frame),
    Binary(Vec<u8>),
}

impl<L: Layer> Shared<L> {
    /// Whether no new session is let in.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    pub(crate) fn asks_for_headers(&self) -> bool {
        self.asks_for_headers.load(Ordering::Relaxed)
    }

    pub(crate) fn find_session(&self, id: &str) -> Option<Arc<Session<L>>> {
        self.sessions.lock().get(id).cloned()
    }

    /// Whether no new session may have this id: it is none, or belongs to a session that is open, or whose client has yet to
    /// hear of its end.
    pub(crate) fn is_in_use(&self, id: &str) -> bool {
        id.is_empty() || self.sessions.lock().contains_key(id) || self.ended.protocol(id).is_some()
    }

    pub(crate) fn n_sessions(&self) -> usize {
        self.n_sessions.load(Ordering::Relaxed)
    }

    /// Opens a session, its open packet queued. Refused when others have taken the last places meanwhile, when the layer's id
    /// is another session's, and when the server has begun to refuse new ones while the layer decided.
    pub(crate) fn open_session(
        self: &Arc<Self>,
        handshake: Arc<Handshake>,
        protocol: Protocol,
        transport: TransportKind,
        admitted: Admitted,
    ) -> Result<Arc<Session<L>>, Refusal> {
        if self.is_draining() {
            return Err(Refusal::SHUTTING_DOWN);
        }
        let n_others = self.take_place()?;
        // Sessions that have ended leave their places to new ones.
        if n_others + self.ended.len() >= self.config.limits.max_connections
            && let Some(oldest) = self.ended.take_oldest()
        {
            self.deadlines.cancel(oldest.due);
        }
        // The guard lives as long as this function.
        let Admitted { id, messages, guard: _guard, .. } = admitted;
        let is_own = id.is_some();
        let id = id.unwrap_or_else(|| Arc::from(random_id(SESSION_ID_BYTES)));
        let session =
            Arc::new(Session::new(id.clone(), self.clone(), handshake, protocol, transport, Instant::now()));
        let mut sessions = self.sessions.lock();
        if is_own && (id.is_empty() || sessions.contains_key(&id) || self.ended.protocol(&id).is_some()) {
            drop(sessions);
            self.leave_place();
            return Err(Refusal::id_in_use());
        }
        sessions.insert(id.clone(), session.clone());
        drop(sessions);
        self.count_opened(transport);
        session.begin(self.open_packet(&session), self.greeting(&session));
        for message in messages {
            session.send(&message.data(), SendOptions::default());
        }
        if self.is_closed.load(Ordering::Acquire) {
            // Closing looks at the sessions after it has set the flag, so one of the two sees the other.
            session.close(CloseReason::ServerShutdown);
        }
        // Nothing is told before it: as in engine.io, nobody hears of the open packet.
        session.watch(Watch::from_bits(self.watch_new.load(Ordering::Relaxed)));
        L::opened(&session);
        session.announced();
        let remote = &session.handshake().head.remote;
        tracing::debug!(?remote, transport = transport.as_str(), ?protocol, "session opened");
        Ok(session)
    }

    fn greeting(&self, session: &Session<L>) -> Option<Frame> {
        self.greeting.read().as_ref().map(|greeting| match greeting {
            Greeting::Text(frame) => frame.clone(),
            Greeting::Binary(bytes) => Frame::binary(session.protocol(), bytes),
        })
    }

    /// Counts one more session. Returns how many there were.
    fn take_place(&self) -> Result<usize, Refusal> {
        let max = self.config.limits.max_connections;
        let count = |n_sessions| (n_sessions < max).then_some(n_sessions + 1);
        let counted = self.n_sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        counted.map_err(|_| Refusal::TOO_MANY_CONNECTIONS)
    }

    /// Counts one session less.
    fn leave_place(&self) {
        if self.n_sessions.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.emptied.notify_waiters();
        }
    }

    fn count_opened(&self, transport: TransportKind) {
        self.counters.connections_opened.add(1);
        match transport {
            TransportKind::Polling => self.counters.connections_polling.add(1),
            TransportKind::WebSocket => self.counters.connections_websocket.add(1),
        }
    }

    /// The options that hold now.
    pub(crate) fn current(&self) -> Current<'_> {
        self.changes.current(&self.config)
    }

    fn open_packet(&self, session: &Session<L>) -> Frame {
        let current = self.current();
        let config = current.session();
        let upgrades: &[TransportKind] = match session.transport() {
            TransportKind::Polling if config.allow_upgrades => &[TransportKind::WebSocket],
            _ => &[],
        };
        let grace = current.ping_grace;
        let announced = SessionConfig {
            ping_interval: config.ping_interval + grace,
            ping_timeout: config.ping_timeout.saturating_sub(grace),
            ..config
        };
        let max_payload = current.max_http_buffer_size;
        let open = protocol::Handshake { sid: session.id(), upgrades, config: &announced, max_payload };
        let text = protocol::handshake(&open);
        Frame::text(text.len(), |out| out.push_str(&text))
    }

    /// Takes note of a session that has ended for a reason, and was counted as one on this transport.
    pub(crate) fn session_closed(
        &self,
        session: &Session<L>,
        reason: CloseReason,
        counted_as: TransportKind,
    ) {
        let counters = &self.counters;
        counters.count_closed(reason);
        match counted_as {
            TransportKind::Polling => counters.connections_polling.sub(1),
            TransportKind::WebSocket => counters.connections_websocket.sub(1),
        }
        let removed = self.sessions.lock().remove(session.id());
        // Dropped after the lock: it may be the last handle.
        drop(removed);
        self.closed_sessions.add();
        self.leave_place();
    }

    /// Keeps what a client has to be told that did not poll when its session ended.
    pub(crate) fn keep_ended(self: &Arc<Self>, session: &Arc<Session<L>>, outbox: Outbox) {
        let shared: Arc<dyn Expire> = self.clone();
        let due = self.deadlines.add(Instant::now() + ended::KEPT_FOR, Due::Weak(Arc::downgrade(&shared), 0));
        let protocol = session.protocol();
        let told = session.watches(Watch::TOLD).then(|| {
            let session = session.clone();
            Told::new(move || L::event(&session, SessionEvent::Told))
        });
        self.ended.add(
            session.id().clone(),
            Ended { protocol, outbox, session: Arc::downgrade(session), due, _told: told },
        );
    }

    /// Takes what is left of a session before its time.
    pub(crate) fn take_ended(&self, id: &str) -> Option<Ended<Session<L>>> {
        let ended = self.ended.take(id)?;
        self.deadlines.cancel(ended.due);
        Some(ended)
    }

    /// The answer to a poll of a session that has ended, if there is something to tell.
    pub(crate) fn answer_ended(&self, id: &str, supports_binary: bool) -> Option<PollAnswer> {
        let max_packets = self.config.limits.max_packets_per_poll;
        let (answer, told) = self.ended.answer(id, supports_binary, max_packets)?;
        if let Some(told) = told {
            self.deadlines.cancel(told.due);
            if let Some(session) = told.session.upgrade() {
                // The client knows: a WebSocket that is being probed is of no use any more.
                session.input(|machine| machine.transport_lost(TransportKind::WebSocket, false));
            }
        }
        Some(answer)
    }
}

impl<L: Layer> Expire for Shared<L> {
    /// What is left of some session has been kept long enough.
    fn expired(self: Arc<Self>, _: u64, _: DeadlineKey, now: Instant) {
        self.ended.expire(now);
    }

    fn server_closed(self: Arc<Self>, _: u64) -> bool {
        true
    }
}

/// Whether `path` is `base` or stands below it.
pub fn is_under(base: &str, path: &str) -> bool {
    let below = path.strip_prefix(base.trim_end_matches('/'));
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<L: Layer> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("path", &self.0.config.path).finish_non_exhaustive()
    }
}
