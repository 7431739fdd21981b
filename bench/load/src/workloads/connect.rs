//! Connections that open a WebSocket, connect to the namespace and leave at once.

use std::collections::HashMap;
use std::time::Instant;

use crate::Result;
use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::packet::unexpected;
use crate::run::Workload;
use crate::socket::WEBSOCKET_PATH;
use crate::tally::Tally;

/// A number of clients that each connect again when the server has closed the connection they left.
pub(crate) struct Connect {
    n_clients: usize,
    /// When each connection was opened.
    open: HashMap<ConnectionId, Instant>,
    is_stopped: bool,
    tally: Tally,
}

impl Connect {
    pub(crate) fn new(n_clients: usize) -> Self {
        Self { n_clients, open: HashMap::new(), is_stopped: false, tally: Tally::default() }
    }

    fn connect(&mut self, network: &mut Network) -> Result<()> {
        let connection = network.connect_websocket(WEBSOCKET_PATH)?;
        self.open.insert(connection, Instant::now());
        Ok(())
    }
}

impl Client for Connect {
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()> {
        match incoming {
            Incoming::Upgraded => Ok(()),
            Incoming::Message(message) if message.starts_with(b"0{") => network.send(from, b"40"),
            Incoming::Message(message) if message.starts_with(b"40{") => {
                self.tally.took(self.open[&from], network.now);
                network.disconnect(from)
            }
            Incoming::Message(message) => Err(unexpected(message).into()),
            Incoming::Response(response) => Err(unexpected(&response.body).into()),
            Incoming::Closed => {
                self.open.remove(&from);
                self.tally.count(1);
                if self.is_stopped { Ok(()) } else { self.connect(network) }
            }
        }
    }
}

impl Workload for Connect {
    fn start(&mut self, network: &mut Network) -> Result<()> {
        for _ in 0..self.n_clients {
            self.connect(network)?;
        }
        Ok(())
    }

    fn stop(&mut self, _network: &mut Network) -> Result<()> {
        self.is_stopped = true;
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.open.is_empty()
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
