//! The core of ferrio for Node: a thin layer that TypeScript calls, by batches.
//!
//! Everything here but the tasks of `doors` runs on the thread of one JavaScript environment. Modules in reading order:
//!
//! | module | job |
//! |---|---|
//! | `options` | a server's options, from JSON text, and their table |
//! | `server` | the class that TypeScript sees; the answers to what the core asks |
//! | `namespace`, `socket` | what can be asked of many sockets, and of one |
//! | `callback` | the one way into JavaScript: batches of what happened |
//! | `batch` | the form of a batch of commands |
//! | `commands` | the one way out: batches of what is asked |
//! | `client_files` | the browser's client on a port of the core's own |
//! | `carried` | bytes that Node carries for the core |
//! | `doors` | HTTP requests and streams through Node, connections handed over, the core's own port |
//! | `memory` | freed memory, back to the system |
//! | `value` | text and bytes from and to JavaScript |
//! | `error` | what is thrown |
#![deny(unsafe_code)]
#![expect(clippy::needless_pass_by_value, reason = "Node-API hands over values, not references")]

mod batch;
mod callback;
mod carried;
mod client_files;
mod commands;
mod doors;
mod error;
mod memory;
mod namespace;
mod options;
mod room;
mod server;
mod socket;
mod value;
