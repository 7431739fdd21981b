//! Rooms: who is in which, who is meant, and what those missed who come back.

pub(crate) mod index;
pub(crate) mod log;
pub(crate) mod room;
pub(crate) mod selection;
pub(crate) mod set;
