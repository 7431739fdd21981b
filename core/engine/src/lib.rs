//! An Engine.IO server: sessions that send and receive messages, over long-polling and WebSocket.
//!
//! The engine does everything up to the messages: transports, handshakes, heartbeats, upgrades, cross-origin rules,
//! listening, TLS. What the messages mean is up to a [`Layer`], with which the server is compiled. Socket.IO, in the
//! crate `ferrio`, is one; this is another:
//!
//! ```no_run
//! use std::{sync::Arc, time::Instant};
//!
//! use ferrio_engine::{Config, Data, Layer, ListenOptions, SendOptions, Server, Session};
//!
//! struct Echo;
//!
//! impl Layer for Echo {
//!     type State = ();
//!
//!     fn state(&self) {}
//!
//!     fn message(session: &Arc<Session<Self>>, message: Data<'_>, _: Instant) {
//!         session.send(&message, SendOptions::default());
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(Config::default(), Echo)?;
//! let listener = server.listen(ListenOptions::new("127.0.0.1:3000")).await?;
//! println!("listening on {}", listener.local_addr());
//! # listener.closed().await;
//! # Ok(())
//! # }
//! ```
//!
//! Modules in reading order; each folder uses only those above it:
//!
//! | module | job |
//! |---|---|
//! | `config`, `changes`, `cors`, `request` | options, their defaults and bounds; requests, and why one is refused |
//! | `ids`, `metrics`, `runtime`, `memory`, `deadlines` | what everybody uses |
//! | `deflate` | compression of messages: how it is agreed on, and what it keeps |
//! | `packet` | packets encoded once, and those that wait for one session |
//! | `layer`, `server`, `session` | what stands on the engine; its sessions; one of them |
//! | `transport` | long-polling, and the task that drives a WebSocket |
//! | `http` | the ways in |
#![forbid(unsafe_code)]

mod changes;
mod config;
mod cors;
mod deadlines;
mod deflate;
mod http;
mod ids;
mod layer;
mod memory;
mod metrics;
mod packet;
mod request;
mod runtime;
mod server;
mod session;
mod transport;

pub use crate::http::{
    listen::{ListenOptions, Listener, Responder},
    proxied::{MessageSocket, Outgoing},
    tls::{Tls, TlsError},
};
pub use config::{
    Config, ConfigError, Cookie, Limits, OutboxLimits, PerMessageDeflate, SlowReader, Transports, WindowBits,
};
pub use cors::{Cors, Origin, OriginDecision};
pub use deadlines::{DeadlineKey, Deadlines, Due, Expire};
pub use ferrio_protocol::engine::{CloseReason, Data, PacketType, Protocol, TransportKind};
pub use ids::random_id;
pub use layer::{Admitted, Layer, Turn, Wait};
pub use memory::give_memory_back_by;
pub use metrics::{Counter, Counters, Metrics};
pub use packet::{
    frame::{Encoded, Frame, FrameKind},
    message::Message,
    outbox::SendOptions,
};
pub use request::{AnswerInHand, Handshake, OpenedSession, Refusal, RequestHead, parse_query};
pub use runtime::runtime;
pub use server::{Server, is_under};
pub use session::{ReadyState, Session, SessionEvent, events::Watch, writes::Writes};
