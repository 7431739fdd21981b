//! Packets encoded once, and those that wait for one session.

pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod outbox;
pub(crate) mod shared;
