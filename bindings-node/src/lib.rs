//! The core of ferrio for Node: a thin layer that TypeScript calls, by batches.
//!
//! Everything here but the tasks of `serve` runs on the thread of one JavaScript environment. Modules in reading order:
//!
//! | module | job |
//! |---|---|
//! | `options`, `option_table` | a server's options, from JSON text, and their table |
//! | `state` | what JavaScript names by numbers |
//! | `server` | the class that TypeScript sees; the answers to what the core asks |
//! | `namespace`, `socket` | what can be asked of many sockets, and of one |
//! | `admin` | the admin UI, and who may use it |
//! | `engine` | what can be asked of the engine and its sessions |
//! | `wake_function`, `waker`, `crossing`, `drain` | the one way into JavaScript: a call that wakes it, and batches of what happened |
//! | `records`, `session_records` | the form of such a batch |
//! | `batch` | the form of a batch of commands |
//! | `commands` | the one way out: batches of what is asked |
//! | `adapters` | calls with a result, for adapters in JavaScript |
//! | `client_files` | the browser's client on a port of the core's own |
//! | `outgoing` | what the core has for Node's HTTP server |
//! | `stream` | byte streams that Node carries for the core |
//! | `entry_points`, `serve` | HTTP requests and streams through Node, connections handed over, the core's own port |
//! | `request` | requests from and to JavaScript |
//! | `value` | text and bytes from and to JavaScript |
//! | `error` | what is thrown |
#![deny(unsafe_code)]
#![expect(clippy::needless_pass_by_value, reason = "Node-API hands over values, not references")]

mod adapters;
mod admin;
mod batch;
mod client_files;
mod commands;
mod crossing;
mod drain;
mod engine;
mod entry_points;
mod error;
mod namespace;
mod option_table;
mod options;
mod outgoing;
mod records;
mod request;
mod room;
mod serve;
mod server;
mod session_records;
mod socket;
mod state;
mod stream;
mod value;
mod wake_function;
mod waker;
