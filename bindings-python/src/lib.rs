//! The native part of the Python package: the Rust core, seen from asyncio.
//!
//! In reading order:
//! - `server`: a server; `entry_points`: how clients reach it; `namespace`, `socket`, `session`: what it consists of;
//! - `socket_state`: what is kept with a socket;
//! - `bridge`: the server on an event loop; **`drain`**: the way of an event, from the core's queue to its ack;
//! - `handlers`: which handler; `tasks`: how it runs; `lane`, `lanes`: which event waits for another;
//! - `connect`, `unconnected`: clients that are not in; `sessions`, `engine`: sessions without Socket.IO, and their events;
//! - `ack_target`, `acks`: who waits for acks, and how they are told; `writes`: what a turn sends;
//! - `admin`: the admin UI, and who may use it;
//! - `futures`, `pending`: the core's futures, polled by the event loop, and those who wait for them;
//! - `waker`: how other threads wake the event loop;
//! - `process`: what a forked child must leave alone;
//! - `value`, `request`, `options`: Python values, requests and options to Rust and back; `error`: exceptions.
//!
//! Invariants: I/O threads never hold the interpreter; the event loop's thread lets go of it while it writes or polls
//! the core; no lock of this crate is held while Python code runs.

#![deny(unsafe_code)]

mod ack_target;
mod acks;
mod admin;
mod bridge;
mod connect;
mod drain;
mod engine;
mod entry_points;
mod error;
mod futures;
mod handlers;
mod lane;
mod lanes;
mod namespace;
mod options;
mod pending;
mod process;
mod request;
mod room;
mod server;
mod session;
mod sessions;
mod socket;
mod socket_state;
mod tasks;
mod unconnected;
mod value;
mod waker;
mod writes;

#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::{
        admin::{Attempts, Login},
        entry_points::{Listener, WebSocket},
        namespace::{Namespace, Question},
        options::{check_options, option_table},
        pending::Pending,
        process::forked,
        request::Handshake,
        server::Server,
        session::{Session, SessionEnd},
        socket::{DisconnectedSocket, Socket},
    };
}
