//! What Python keeps with sessions of the engine: of a server without Socket.IO from their handshake on, until their
//! disconnect handler has ended; or of connections under Socket.IO.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use ferrio::{
    Admitted, Answer, Connection, Credit, Frame, Message, Refusal, RequestHead, SendOptions, TransportKind,
    Writes,
};
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyString};

use crate::lane::Lane;

/// What takes the word about a request.
pub(crate) type Verdict = Answer<Result<Admitted, Refusal>>;

/// What a client is told that a connect handler refuses without a word of its own.
const UNAUTHORIZED: &str = "\"Unauthorized\"";

/// What Python keeps with a session.
pub(crate) struct SessionState {
    pub(crate) id: Arc<str>,
    pub(crate) sid: Py<PyString>,
    /// Later ones have greater numbers.
    number: u64,
    link: Mutex<Link>,
    /// Whether its end was told, or is being told: of what the client sent, nothing is handled any more.
    is_over: AtomicBool,
    /// The application's session, once it was asked for.
    pub(crate) session: Mutex<Option<Py<PyAny>>>,
    pub(crate) lane: Lane<Deferred>,
}

/// How far a session is.
enum Link {
    /// The client waits for the answer to its handshake.
    Opening {
        /// Takes the connect handler's decision, once.
        verdict: Option<Verdict>,
        transport: TransportKind,
        /// What is sent as soon as it is open.
        waiting: Vec<Message>,
    },
    Open(Arc<Connection>),
}

/// Something of a session that may have to wait for the handler before.
pub(crate) enum Deferred {
    Message(Message, Credit),
    End(&'static str),
}

impl SessionState {
    /// Whether nothing that the client has sent is handled any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Begins the end. Returns whether nobody else has.
    pub(crate) fn begin_end(&self) -> bool {
        !self.is_over.swap(true, Ordering::Relaxed)
    }

    /// What takes the connect handler's decision, if that is still to come.
    pub(crate) fn take_verdict(&self) -> Option<Verdict> {
        match &mut *self.link.lock() {
            Link::Opening { verdict, .. } => verdict.take(),
            Link::Open(_) => None,
        }
    }

    /// What was sent before the session is open.
    pub(crate) fn take_waiting(&self) -> Vec<Message> {
        match &mut *self.link.lock() {
            Link::Opening { waiting, .. } => mem::take(waiting),
            Link::Open(_) => Vec::new(),
        }
    }

    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        match &*self.link.lock() {
            Link::Opening { .. } => None,
            Link::Open(connection) => Some(connection.clone()),
        }
    }

    pub(crate) fn transport(&self) -> TransportKind {
        match &*self.link.lock() {
            Link::Opening { transport, .. } => *transport,
            Link::Open(connection) => connection.transport(),
        }
    }

    /// Takes note that it is open. What was sent to it before leaves.
    pub(crate) fn open(&self, connection: &Arc<Connection>, writes: &mut Writes) {
        // Under the lock, so that nothing is sent ahead of what waits.
        let mut link = self.link.lock();
        let before = mem::replace(&mut *link, Link::Open(connection.clone()));
        if let Link::Opening { waiting, .. } = before {
            for message in waiting {
                connection.push(&frame(connection, &message).into(), SendOptions::default(), writes);
            }
        }
    }

    /// What is to be sent for a message, and on which connection; `None` if it is kept until there is one.
    pub(crate) fn outgoing(&self, message: Message) -> Option<(Arc<Connection>, Frame)> {
        let connection = match &mut *self.link.lock() {
            Link::Opening { waiting, .. } => {
                waiting.push(message);
                return None;
            }
            Link::Open(connection) => connection.clone(),
        };
        let frame = frame(&connection, &message);
        Some((connection, frame))
    }

    pub(crate) fn is_connected(&self) -> bool {
        !self.is_over() && self.connection().is_some_and(|connection| connection.is_open())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_over() || self.connection().is_some_and(|connection| !connection.is_open())
    }
}

/// The sessions that are kept, by their ids: all of a server without Socket.IO; of another, those that have data.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: Mutex<HashMap<Arc<str>, Arc<SessionState>>>,
    n_made: AtomicU64,
    /// Those that were let in, and did not open.
    pub(crate) lost: Mutex<Vec<Arc<SessionState>>>,
}

impl Sessions {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<SessionState>> {
        self.by_id.lock().get(id).cloned()
    }

    /// Keeps a session that is about to open.
    pub(crate) fn begin(
        &self,
        sid: &Bound<'_, PyString>,
        id: &Arc<str>,
        head: &RequestHead,
        verdict: Verdict,
    ) -> Arc<SessionState> {
        let transport = match head.query("transport").as_deref() {
            Some("websocket") => TransportKind::WebSocket,
            _ => TransportKind::Polling,
        };
        let link = Link::Opening { verdict: Some(verdict), transport, waiting: Vec::new() };
        let session = self.make(sid, id, link);
        self.keep(&session);
        session
    }

    /// One that is open. It is not kept.
    pub(crate) fn opened(&self, py: Python<'_>, connection: Arc<Connection>) -> Arc<SessionState> {
        let sid = PyString::new(py, connection.id());
        self.make(&sid, &connection.id().clone(), Link::Open(connection))
    }

    fn make(&self, sid: &Bound<'_, PyString>, id: &Arc<str>, link: Link) -> Arc<SessionState> {
        Arc::new(SessionState {
            id: id.clone(),
            sid: sid.clone().unbind(),
            number: self.n_made.fetch_add(1, Ordering::Relaxed),
            link: Mutex::new(link),
            is_over: AtomicBool::new(false),
            session: Mutex::default(),
            lane: Lane::default(),
        })
    }

    pub(crate) fn keep(&self, session: &Arc<SessionState>) {
        let former = self.by_id.lock().insert(session.id.clone(), session.clone());
        drop(former);
    }

    pub(crate) fn forget(&self, session: &Arc<SessionState>) {
        let mut by_id = self.by_id.lock();
        let is_kept = by_id.get(&session.id).is_some_and(|kept| Arc::ptr_eq(kept, session));
        let former = if is_kept { by_id.remove(&session.id) } else { None };
        drop(by_id);
        drop(former);
    }

    /// Refuses the client of a session that nobody has decided about. It never was a client for the application, which is
    /// not told of its end.
    pub(crate) fn refuse(&self, session: &Arc<SessionState>, refusal: Refusal) {
        if let Some(verdict) = session.take_verdict() {
            session.begin_end();
            self.forget(session);
            verdict.send(Err(refusal));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.lock().len()
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<SessionState>> {
        let mut sessions: Vec<_> = self.by_id.lock().values().cloned().collect();
        sessions.sort_unstable_by_key(|session| session.number);
        sessions
    }
}

/// A session whose connect handler is at work. Dropped without a decision, its client is refused.
pub(crate) struct Opening {
    sessions: Arc<Sessions>,
    session: Arc<SessionState>,
}

impl Opening {
    pub(crate) fn new(sessions: &Arc<Sessions>, session: Arc<SessionState>) -> Self {
        Self { sessions: sessions.clone(), session }
    }

    pub(crate) fn session(&self) -> &Arc<SessionState> {
        &self.session
    }

    pub(crate) fn refuse(self, json: String) {
        self.sessions.refuse(&self.session, Refusal::unauthorized(json));
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.sessions.refuse(&self.session, Refusal::unauthorized(UNAUTHORIZED.to_owned()));
    }
}

fn frame(connection: &Connection, message: &Message) -> Frame {
    match message {
        Message::Text(text) => Frame::message_text(text),
        Message::Binary(bytes) => Frame::binary(connection.protocol(), bytes),
    }
}
