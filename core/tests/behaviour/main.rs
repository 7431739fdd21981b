//! What a server does, seen from its clients and from its host: over transports in memory and over real sockets.
#![expect(clippy::similar_names, reason = "a `test` and a `text` are what they are")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod acks;
mod admission;
mod backpressure;
mod bounds;
mod engine;
mod entry_points;
mod host_sessions;
mod hostile;
mod namespaces;
mod observer;
mod ordering;
mod parser;
mod polling;
mod reasons;
mod recovery;
mod rooms;
mod shutdown;
mod support;
mod upgrade;
