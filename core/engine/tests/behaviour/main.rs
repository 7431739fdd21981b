//! What an engine does, seen from its clients and from what stands on it: over transports in memory and over real sockets.
#![expect(clippy::similar_names, reason = "a `test` and a `text` are what they are")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod admission;
mod backpressure;
mod bounds;
mod changes;
mod deflate;
mod entry_points;
mod events;
mod headers;
mod hostile;
mod layer;
mod listen;
mod polling;
mod reasons;
mod refusals;
mod session;
mod shutdown;
mod support;
mod upgrade;
