//! Acks: who waits for one, until when, and how one is given.

pub(crate) mod collector;
pub(crate) mod relay;
mod socket;
pub(crate) mod waiters;

use crate::packet::payload::Payload;

/// What came of an emit that wanted acks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckOutcome {
    /// The answers, each an array of arguments, in the order of their arrival.
    pub answers: Vec<Payload>,
    /// Whether these are all.
    pub status: AckStatus,
}

/// How the wait for acks ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckStatus {
    /// Everyone who was asked has answered.
    Complete,
    /// The time was up; the answers are those that came before.
    TimedOut,
    /// The socket left, and no time limit was set: nothing will come any more.
    Disconnected,
    /// The answers of many sockets became too large to keep; these are the ones before. Only with
    /// [`max_ack_bytes`](crate::Limits::max_ack_bytes) and its like.
    TooLarge,
    /// The wait goes on: this is one answer of many that are reported one by one. Only of
    /// [`emit_with_each_ack`](crate::Namespace::emit_with_each_ack).
    OneOfMany,
}
