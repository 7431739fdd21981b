//! One client: its Engine.IO session, what waits for it, and the sockets it has.
//!
//! A connection is shared by the transports that carry it, the sockets in it and the deadlines that watch over it.
//! Its two halves have locks of their own: [`Inbound`] is what a received packet needs, [`Io`] what a sent one does.

mod inbound;
mod io;
mod lifetime;
mod outgoing;
mod transports;

use std::{fmt, sync::Arc, time::Instant};

use ferrio_protocol::{
    engine::{CloseReason, Protocol, Session, TransportKind},
    socket::Assembler,
};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{backpressure::Share, encode::Encoder, handshake::Handshake, server::Shared};

use io::Io;

pub(crate) use inbound::{Entry, Inbound};
pub(crate) use transports::WireEnd;

/// One client's Engine.IO session.
pub struct Connection {
    id: Arc<str>,
    server: Arc<Shared>,
    handshake: Arc<Handshake>,
    protocol: Protocol,
    io: Mutex<Io>,
    pub(crate) inbound: Mutex<Inbound>,
    pub(crate) share: Arc<Share>,
    /// Wakes the task that drives the WebSocket, if there is one.
    pub(crate) waker: AtomicWaker,
    /// Wakes the request whose body is on its way.
    poster: AtomicWaker,
}

impl Connection {
    pub(crate) fn new(
        id: Arc<str>,
        server: Arc<Shared>,
        handshake: Arc<Handshake>,
        protocol: Protocol,
        transport: TransportKind,
        now: Instant,
    ) -> Self {
        let session = Session::new(server.session_config(), protocol, transport, now);
        Self {
            id,
            handshake,
            protocol,
            io: Mutex::new(Io::new(session, now + server.config.connect_timeout)),
            inbound: Mutex::new(Inbound {
                entries: SmallVec::new(),
                assembler: Assembler::new(),
                is_open: true,
                is_watched: false,
            }),
            share: Arc::new(Share::new(&server.config.limits)),
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
        self.io.lock().session.transport()
    }

    /// Whether the session is open.
    pub fn is_open(&self) -> bool {
        self.io.lock().session.is_open()
    }

    pub(crate) fn server(&self) -> &Arc<Shared> {
        &self.server
    }

    /// How packets are written for this client.
    pub(crate) fn encoder(&self) -> Encoder {
        Encoder { parser: self.server.config.parser, protocol: self.protocol }
    }

    /// Closes the whole connection.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason) {
        self.input(|session| session.close(reason));
    }

    /// Closes the connection because the peer broke a rule of WebSocket, with the status that says which.
    pub(crate) fn close_with_code(self: &Arc<Self>, code: u16) {
        self.server.counters.peer_errors.add(1);
        let mut io = self.io.lock();
        if let Some((wire, _)) = &mut io.wire {
            wire.close_code = Some(code);
        }
        io.session.transport_lost(TransportKind::WebSocket, true);
        self.settle(io);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the id, which is a secret.
        f.debug_struct("Connection").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
