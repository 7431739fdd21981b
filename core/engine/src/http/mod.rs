//! The ways in: plain requests, WebSocket requests, a port of the server's own, and connections that the host accepted.

pub(crate) mod listen;
pub(crate) mod proxied;
mod serve;
mod takeover;
pub(crate) mod tls;
mod upgrade;
mod verify;
