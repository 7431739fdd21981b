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
//! let listener = server.listen(ListenOptions::new("127.0.0.1:3000")).await?;
//! println!("listening on {}", listener.local_addr());
//! while let Some(event) = events.next().await {
//!     let mut writes = Writes::new();
//!     match event {
//!         HostEvent::Connect { admission, .. } => _ = admission.accept(&mut writes),
//!         HostEvent::Event { payload, reply: Some(reply), .. } => reply.send(&payload, &mut writes),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Modules in reading order; each uses only those above it and, through handles, those it is handed:
//!
//! | module | job |
//! |---|---|
//! | `config`, `cors` | options, their defaults and bounds |
//! | `payload`, `frame`, `encode`, `outbox` | arguments still encoded; packets encoded once; what waits for a connection |
//! | `handshake`, `ids`, `reason`, `room`, `room_set`, `selection`, `metrics` | small vocabulary |
//! | `queue`, `backpressure` | to the host, and how much may be on its way there |
//! | `deadlines`, `writes`, `farewell`, `memory`, `runtime` | at a time, onto the wire, after the end, by these threads |
//! | `rooms`, `recovery`, `ack`, `waiters`, `adapter` | who is where; what was missed; who waits; what a cluster adds |
//! | `socket`, `namespace`, `admission`, `departure`, `server` | the API |
//! | **`receive`**, **`emit`** | the two hot paths, each readable from top to bottom |
//! | `join`, `connection`, `wire`, `websocket`, `polling` | how a client joins; one client and its transports |
//! | `request`, `listen`, `tls`, `adopt`, `exchange`, `compression` | the doors |
#![forbid(unsafe_code)]

mod ack;
mod adapter;
mod admission;
mod adopt;
mod backpressure;
mod compression;
mod config;
mod connection;
mod cors;
mod deadlines;
mod departure;
mod emit;
mod encode;
mod exchange;
mod farewell;
mod frame;
mod handshake;
mod ids;
mod join;
mod listen;
mod memory;
mod metrics;
mod namespace;
mod outbox;
mod payload;
mod polling;
mod queue;
mod reason;
mod receive;
mod recovery;
mod request;
mod room;
mod room_set;
mod rooms;
mod runtime;
mod selection;
mod server;
mod socket;
mod tls;
mod waiters;
mod websocket;
mod wire;
mod writes;

pub use ack::{AckOutcome, AckStatus, Gathering, Reply};
pub use adapter::{Adapter, BoxFuture, Gathered, InMemory, RemoteAcks, RemoteSocket};
pub use admission::{Admission, Gone};
pub use backpressure::{Awaited, Credit};
pub use config::{
    Config, ConfigError, Cookie, Limits, OutboxLimits, Parser, Recovery, SlowReader, Transports,
};
pub use connection::Connection;
pub use cors::{Cors, Origin, OriginDecision, OriginPattern};
pub use departure::Departure;
pub use emit::AckRequest;
pub use exchange::{MessageSocket, Outgoing};
pub use ferrio_protocol::engine::{Protocol, TransportKind};
pub use handshake::{Handshake, RequestHead};
pub use listen::{ListenOptions, Listener, Responder};
pub use memory::give_memory_back_by;
pub use metrics::Metrics;
pub use namespace::Namespace;
pub use payload::Payload;
pub use queue::{Answer, Events, HostEvent};
pub use reason::DisconnectReason;
pub use room::{NumberedRooms, Room, RoomNumber};
pub use rooms::{RoomChange, RoomEvent};
pub use runtime::runtime;
pub use selection::{Flags, Selection};
pub use server::Server;
pub use socket::{Socket, SocketKey};
pub use tls::{Tls, TlsError};
pub use writes::Writes;
