//! One client's session: its state machine, what waits for it, and the transports that carry it.
//!
//! A session is shared by its transports, the deadlines that watch over it, and the layer. What is sent and how the
//! session goes on stands behind one lock, [`Io`]; what the layer keeps has its own.
//!
//! | file | job |
//! |---|---|
//! | `receive` | the way of a message in |
//! | `send`, `writes` | the way of a message out: into the outbox, and onto the wire after a batch |
//! | `run` | what the state machine wants, and what is due at a time |
//! | `transports` | the poll that waits, and the WebSocket that a task drives |
//! | `io`, `timers`, `writer`, `poll` | the parts of the sending half |
//! | `ended` | what is left of a session that has ended between two polls |
//! | `events` | what a session tells to those who ask |

pub(crate) mod ended;
pub(crate) mod events;
mod io;
pub(crate) mod poll;
pub(crate) mod receive;
mod run;
mod send;
mod timers;
pub(crate) mod transports;
pub(crate) mod writer;
pub(crate) mod writes;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Instant,
};

use ferrio_protocol::engine::{self as protocol, Protocol, TransportKind};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::{
    layer::Layer,
    request::Handshake,
    server::Shared,
    session::{events::Watch, io::Io},
};

pub use events::SessionEvent;

/// One client's session.
pub struct Session<L: Layer> {
    id: Arc<str>,
    server: Arc<Shared<L>>,
    handshake: Arc<Handshake>,
    protocol: Protocol,
    io: Mutex<Io>,
    state: L::State,
    /// What is told besides messages.
    watched: AtomicU16,
    /// Wakes the task that drives the WebSocket, if there is one.
    waker: AtomicWaker,
    /// Wakes the request whose body is on its way.
    poster: AtomicWaker,
}

/// How far the life of a session is, in engine.io's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyState {
    /// Messages go both ways.
    Open,
    /// It is over, and its WebSocket still writes what was queued before.
    Closing,
    /// It is over.
    Closed,
}

impl ReadyState {
    /// engine.io's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl<L: Layer> Session<L> {
    pub(crate) fn new(
        id: Arc<str>,
        server: Arc<Shared<L>>,
        handshake: Arc<Handshake>,
        protocol: Protocol,
        transport: TransportKind,
        now: Instant,
    ) -> Self {
        let machine = protocol::Session::new(server.current().session(), protocol, transport, now);
        Self {
            id,
            handshake,
            protocol,
            io: Mutex::new(Io::new(machine)),
            state: server.layer.state(),
            watched: AtomicU16::new(0),
            waker: AtomicWaker::new(),
            poster: AtomicWaker::new(),
            server,
        }
    }

    /// The session's id, which is the client's secret: whoever knows it can take part in long-polling for it.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Arc<Handshake> {
        &self.handshake
    }

    /// The Engine.IO revision, pinned at the handshake.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The transport in use at the moment.
    pub fn transport(&self) -> TransportKind {
        self.io.lock().machine.transport()
    }

    /// Whether the session is open.
    pub fn is_open(&self) -> bool {
        self.io.lock().machine.is_open()
    }

    /// How far the session's life is.
    pub fn ready_state(&self) -> ReadyState {
        let io = self.io.lock();
        match (io.machine.is_open(), &io.websocket) {
            (true, _) => ReadyState::Open,
            (false, Some(_)) => ReadyState::Closing,
            (false, None) => ReadyState::Closed,
        }
    }

    /// What was wrong with the transport of a session that has ended by `transport error`, in engine.io's words where it has
    /// any.
    pub fn fault(&self) -> Option<&'static str> {
        self.io.lock().fault
    }

    /// Whether everything that was sent has left for the transport.
    pub fn is_drained(&self) -> bool {
        let io = self.io.lock();
        io.outbox.is_empty() && io.kept_back.is_none()
    }

    /// Bytes that were sent and have not left for the transport.
    pub fn queued_bytes(&self) -> usize {
        let io = self.io.lock();
        io.outbox.bytes() + io.kept_back.as_ref().map_or(0, |kept_back| kept_back.bytes())
    }

    /// Whether the client ended the session by a close packet, not by the end of its transport.
    pub fn was_closed_by_packet(&self) -> bool {
        self.io.lock().machine.was_closed_by_packet()
    }

    /// Whether a WebSocket is being probed.
    pub fn is_upgrading(&self) -> bool {
        self.io.lock().machine.is_upgrading()
    }

    /// Whether a message would leave at once.
    pub fn is_writable(&self) -> bool {
        self.io.lock().is_writable()
    }

    /// What the layer keeps with the session.
    #[inline]
    pub fn state(&self) -> &L::State {
        &self.state
    }

    /// What stands on the engine.
    #[inline]
    pub fn layer(&self) -> &Arc<L> {
        &self.server.layer
    }

    /// Asks for these events, and no others, by [`Layer::event`]. Those of a moment ago may still come.
    pub fn watch(&self, events: Watch) {
        self.watched.store(events.bits(), Ordering::Relaxed);
    }

    /// Whether an event is asked for.
    #[inline]
    pub fn watches(&self, event: Watch) -> bool {
        self.watched.load(Ordering::Relaxed) & event.bits() != 0
    }

    /// Whether anything is asked for.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed) != 0
    }

    /// Counts a mistake of the peer that the layer has found.
    pub fn count_peer_error(&self) {
        self.server.counters.peer_errors.add(1);
    }

    pub(crate) fn server(&self) -> &Arc<Shared<L>> {
        &self.server
    }
}

impl<L: Layer> fmt::Debug for Session<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the id, which is a secret.
        f.debug_struct("Session").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
