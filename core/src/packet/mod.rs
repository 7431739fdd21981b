//! Payloads, still encoded, and the packets made of them.

pub(crate) mod encode;
pub(crate) mod payload;
