//! What every host language needs, and no binding should own.
//!
//! A binding converts values and names things in its language's way. Whatever two bindings would write twice stands here:
//!
//! | module | job |
//! |---|---|
//! | [`options`] | every option of both languages, in one table |
//! | [`admin`] | what an admin UI is shown of a server |
//! | `executor` | the core's futures, polled by the host's own thread |
//! | `body` | bytes that the host receives for the core |
//! | `acks` | who waits for which ack |
//! | `questions` | what the application has yet to answer |
//! | `rooms` | names of rooms for other processes |
//! | `turn` | how much is handled at once |
//! | `descriptor` | descriptors that the host knows as numbers |
//! | `memory` | freed memory, back to the system |
#![deny(unsafe_code)]

mod acks;
pub mod admin;
mod body;
mod descriptor;
mod executor;
mod memory;
pub mod options;
mod questions;
mod rooms;
mod turn;

pub use acks::Acks;
pub use body::{ByteChannel, HIGH_WATER, RequestBody};
pub use descriptor::duplicate;
pub use executor::{BoxFuture, Executor, Pending, Started, Task, TaskHandle};
pub use memory::give_memory_back;
pub use questions::Questions;
pub use rooms::{named_room, room_name};
pub use turn::TURN_EVENTS;
