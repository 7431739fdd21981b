//! What is on its way to JavaScript.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use ferrio::{AckStatus, HostEvent, Message, Payload};

use crate::outgoing::Outgoing;

/// What is on its way to JavaScript, besides what waits in the core's queue. It is bounded by what was taken from there
/// in one go, what Node's HTTP server has open, and one report for each command of the last batch.
#[derive(Default)]
pub(crate) struct Crossing {
    /// Events that have been taken, and are not told yet.
    pub(crate) events: VecDeque<HostEvent>,
    /// The same of what is for Node's HTTP server.
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// What came of commands that could not be carried out.
    pub(crate) reports: Vec<Report>,
    /// What belongs to the last batch.
    pub(crate) beside: Vec<Beside>,
}

/// What came of a command that could not be carried out.
pub(crate) enum Report {
    /// Nobody was asked for the acks that are waited for.
    Unasked { token: u64, status: AckStatus },
    /// The fault is ours.
    Problem(String),
}

/// What crosses beside a batch's text, which names it by its place in the list.
pub(crate) enum Beside {
    /// The text of this payload.
    Text(Payload),
    Message(Arc<str>),
    Bytes(Bytes),
}

impl From<Message> for Beside {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Message(text),
            Message::Binary(bytes) => Self::Bytes(bytes),
        }
    }
}

impl Beside {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(payload) => payload.text().len(),
            Self::Message(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}
