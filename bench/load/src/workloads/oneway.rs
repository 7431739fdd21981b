//! Events without acknowledgement, many in one write; the server says at the end of each batch how many it counted.

use std::collections::HashMap;
use std::time::Instant;

use crate::Result;
use crate::frame::{self, Opcode};
use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::packet::{self, FIRST_NUMBER, unexpected};
use crate::run::Workload;
use crate::tally::Tally;

/// Batches of events; the next follows when the count that ends the batch is answered.
///
/// The server's counter is common to all sockets and starts again with each answer, so it is the sum of the answers
/// that must be the number of events.
pub(crate) struct Oneway {
    /// The frames of one batch.
    batch: Vec<u8>,
    connections: Vec<ConnectionId>,
    /// When the batch under way was sent.
    under_way: HashMap<ConnectionId, Instant>,
    n_sent: u64,
    n_counted: u64,
    is_stopped: bool,
    tally: Tally,
}

/// Events in a batch: enough that the acknowledgement at its end adds little to what one event costs.
const BATCH: u64 = 64;

/// The same for every count: a socket has only one under way.
const COUNT: &[u8] = br#"42100000["count"]"#;

impl Oneway {
    pub(crate) fn new(connections: Vec<ConnectionId>, length: usize) -> Self {
        let event = packet::event("tick", &packet::data(FIRST_NUMBER, length));
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            frame::write(&mut batch, Opcode::Text, event.as_bytes());
        }
        frame::write(&mut batch, Opcode::Text, COUNT);
        let under_way = HashMap::with_capacity(connections.len());
        Self {
            batch,
            connections,
            under_way,
            n_sent: 0,
            n_counted: 0,
            is_stopped: false,
            tally: Tally::default(),
        }
    }

    fn send_batch(&mut self, network: &mut Network, connection: ConnectionId) -> Result<()> {
        self.n_sent += BATCH;
        self.under_way.insert(connection, network.now);
        network.outgoing(connection)?.extend(&self.batch);
        Ok(())
    }
}

impl Client for Oneway {
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()> {
        let Incoming::Message(message) = incoming else {
            return Err("the server closed a connection".into());
        };
        let (id, arguments) = packet::ack(message)?;
        let sent = self.under_way.remove(&from).filter(|_| id == FIRST_NUMBER);
        let sent = sent.ok_or_else(|| unexpected(message))?;
        let digits = arguments.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        let n_counted: u64 = std::str::from_utf8(digits.ok_or_else(|| unexpected(message))?)?.parse()?;
        self.n_counted += n_counted;
        if !self.is_stopped {
            self.tally.count(BATCH);
            self.tally.took(sent, network.now);
            return self.send_batch(network, from);
        }
        // A server that handles events concurrently may answer before it has counted the last of them.
        if self.under_way.is_empty() && self.n_counted != self.n_sent {
            self.under_way.insert(from, network.now);
            return network.send(from, COUNT);
        }
        Ok(())
    }
}

impl Workload for Oneway {
    fn start(&mut self, network: &mut Network) -> Result<()> {
        for connection in self.connections.clone() {
            self.send_batch(network, connection)?;
        }
        Ok(())
    }

    fn stop(&mut self, _network: &mut Network) -> Result<()> {
        self.is_stopped = true;
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.under_way.is_empty() && self.n_counted == self.n_sent
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
