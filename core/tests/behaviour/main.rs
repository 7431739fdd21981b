//! What a server does, seen from its clients and from its host: over transports in memory and over real sockets.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod bounds;
mod doors;
mod polling;
mod support;
mod upgrade;
