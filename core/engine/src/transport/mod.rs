//! The transports: long-polling, and the task that drives a WebSocket.

mod compression;
pub(crate) mod polling;
pub(crate) mod stream;
pub(crate) mod websocket;
