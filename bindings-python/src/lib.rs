//! The native part of the Python package: the Rust core, seen from asyncio.
//!
//! In reading order:
//! - `server`: a server; `doors`: how clients reach it; `namespace`, `socket`: what it consists of;
//! - `bridge`: the server on an event loop; `callback`: the only place that calls the application;
//! - `handling`: the coroutine around each handler; `pending`: the core's futures, polled by the event loop;
//! - `body`: a request's body in pieces; `waker`: how other threads wake the event loop;
//! - `memory`: freed memory, back to the system;
//! - `process`: what a forked child must leave alone;
//! - `value`, `request`, `options`: Python values, requests and options to Rust and back; `error`: exceptions.
//!
//! Invariants: I/O threads never hold the interpreter; the event loop's thread lets go of it while it writes or polls
//! the core; no lock of this crate is held while Python code runs.

#![deny(unsafe_code)]

mod body;
mod bridge;
mod callback;
mod doors;
mod error;
mod handling;
mod memory;
mod namespace;
mod options;
mod pending;
mod process;
mod request;
mod room;
mod server;
mod socket;
mod value;
mod waker;

#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::{
        doors::{Listener, WebSocket},
        namespace::{Namespace, Question},
        options::{check_options, option_table},
        pending::Pending,
        process::forked,
        request::Handshake,
        server::Server,
        socket::{Departure, Socket},
    };
}
