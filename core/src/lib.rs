//! A Socket.IO server.
//!
//! The server does everything up to the application: transports, protocol, namespaces, rooms, acks, recovery. What
//! the application has to know comes as [`HostEvent`]s on one queue; what it has to say are calls of [`Socket`],
//! [`Namespace`] and [`Server`]. The core never calls the application, so no lock of the core is ever held while
//! application code runs, and a host language is entered only to drain the queue, in batches.
//!
//! ```no_run
//! use ferrio::{Config, HostEvent, ListenOptions, Server, Writes};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let (server, mut events) = Server::new(Config::default(), || {})?;
//! server.namespace("/");
//! let listener = server.engine().listen(ListenOptions::new("127.0.0.1:3000")).await?;
//! println!("listening on {}", listener.local_addr());
//! while let Some(event) = events.next().await {
//!     let mut writes = Writes::new();
//!     match event {
//!         HostEvent::Connect { connect_request, .. } => _ = connect_request.accept(&mut writes),
//!         HostEvent::Event { payload, ack: Some(ack), .. } => ack.send(&payload, &mut writes),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It stands on an Engine.IO server, the crate [`ferrio_engine`], which carries its messages: see [`Server::engine`].
//!
//! Modules in reading order; each folder uses only those above it:
//!
//! | module | job |
//! |---|---|
//! | `config`, `metrics`, `reason`, `key` | small vocabulary |
//! | `packet` | arguments still encoded, and the packets made of them |
//! | `queue` | to the host, and how much may be on its way there |
//! | `rooms` | who is in which room, who is meant, what those missed who come back |
//! | `event`, `socket`, `namespace`, `socket_io` | what the host is told; one client in one namespace; all of them; the server's own |
//! | `adapter`, `acks`, `recovery`, `namespaces` | what a cluster adds; who waits for an ack; what is kept for whom |
//! | `client` | how a client connects, and leaves |
//! | **`receive`**, **`emit`** | the two hot paths, each readable from top to bottom |
//! | `server`, `observer` | the API; who is shown what happens |
#![forbid(unsafe_code)]

mod acks;
mod adapter;
mod client;
mod config;
mod emit;
mod event;
mod key;
mod metrics;
mod namespace;
mod namespaces;
mod observer;
mod packet;
mod queue;
mod reason;
mod receive;
mod recovery;
mod rooms;
mod server;
mod socket;
mod socket_io;

pub use acks::{AckOutcome, AckStatus, collector::Gathering};
pub use adapter::{Adapter, BoxFuture, Gathered, InMemory, RemoteAcks, RemoteSocket};
pub use client::ClientDisconnected;
pub use config::{Config, Limits, Parser, Recovery};
pub use emit::AckRequest;
pub use event::{
    Ack, Answer, ConnectRequest, DisconnectedSocket, Events, HostEvent, Observation, Observed, RoomChange,
    SessionEvent,
};
pub use ferrio_engine::{
    Admitted, AnswerInHand, CloseReason, ConfigError, Cookie, Cors, Data, Encoded, Frame, Handshake,
    ListenOptions, Listener, Message, OpenedSession, Origin, OriginDecision, OutboxLimits, Outgoing,
    PacketType, PerMessageDeflate, Protocol, ReadyState, Refusal, RequestHead, Responder, SendOptions,
    SlowReader, Tls, TlsError, TransportKind, Transports, Watch, WindowBits, give_memory_back_by, is_under,
    runtime,
};
/// What a Socket.IO packet is for.
pub use ferrio_protocol::socket::PacketType as SocketPacketType;
pub use key::SocketKey;
pub use metrics::{Metrics, SocketIoMetrics};
pub use namespace::Namespace;
pub use observer::Observer;
pub use packet::payload::Payload;
pub use queue::backpressure::{Awaited, Credit};
pub use reason::DisconnectReason;
pub use rooms::{
    room::{NumberedRooms, Room, RoomNumber},
    selection::{Flags, Selection},
};
pub use server::Server;
pub use socket::Socket;
pub use socket_io::{Connection, SocketIo, Writes};

/// A WebSocket that a server of the host terminates.
pub type MessageSocket = ferrio_engine::MessageSocket<SocketIo>;
