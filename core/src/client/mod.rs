//! One client: the namespaces it is in, or wants to be in, and what it may have under way.

mod backpressure;
pub(crate) mod connect;
mod connect_request;
pub(crate) mod disconnect;
mod disconnected;
mod layer;
mod requests;
pub(crate) mod watch;

use std::{convert::Infallible, fmt, sync::Arc, time::Instant};

use ferrio_protocol::socket::Assembler;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::{config::Limits, queue::backpressure::Share, socket::Socket};

pub use connect_request::ClientDisconnected;

/// What Socket.IO keeps with an engine's session.
pub struct Client {
    pub(crate) inbound: Mutex<Inbound>,
    pub(crate) share: Arc<Share>,
}

/// The receiving half of a connection: the namespaces to which the client is connected, and a packet whose attachments are on their way.
pub(crate) struct Inbound {
    pub(crate) entries: SmallVec<[(Arc<str>, Entry); 1]>,
    pub(crate) assembler: Assembler,
    pub(crate) is_open: bool,
    /// Whether the host has been told that the end is near, and no message any more.
    pub(crate) is_ending: bool,
    pub(crate) due: Due,
    /// What was wrong with a packet that could not be decoded.
    pub(crate) fault: Option<&'static str>,
}

/// Until when a client has to have done something, or it is put out.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Connect to a namespace.
    pub(crate) connect: Option<Instant>,
    /// Complete a packet by its attachments.
    pub(crate) attachments: Option<Instant>,
}

impl Due {
    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.connect.into_iter().chain(self.attachments).min()
    }
}

/// How far a client is with connecting to a namespace.
pub(crate) enum Entry {
    /// The host is asked whether the namespace shall exist. The task that waits for its word ends when this is dropped.
    Asking(#[expect(dead_code, reason = "it is there to be dropped")] oneshot::Sender<Infallible>),
    /// The host is asked whether the client may connect.
    Pending(Arc<Socket>),
    /// The client is connected.
    Connected(Arc<Socket>),
}

impl Client {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            inbound: Mutex::new(Inbound {
                entries: SmallVec::new(),
                assembler: Assembler::new(),
                is_open: true,
                is_ending: false,
                due: Due::default(),
                fault: None,
            }),
            share: Arc::new(Share::new(limits)),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Inbound {
    /// The entry of a namespace.
    pub(crate) fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|(known, _)| **known == *name).map(|(_, entry)| entry)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Entry> {
        let idx = self.entries.iter().position(|(known, _)| **known == *name)?;
        Some(self.entries.swap_remove(idx).1)
    }
}
