//! Opens sets of Socket.IO sockets over WebSocket and keeps them alive.

use std::time::{Duration, Instant};

use crate::Result;
use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::packet::unexpected;
use crate::run::PATIENCE;

/// Where WebSocket connections are opened.
pub(crate) const WEBSOCKET_PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// Enough to keep the server busy, few enough not to overrun the queue of a listening socket.
const AT_ONCE: usize = 64;

/// Opens `n` sockets on the main namespace.
pub(crate) fn open_sockets(network: &mut Network, n: usize) -> Result<Vec<ConnectionId>> {
    let mut opening = Opening { n, n_begun: 0, opened: Vec::with_capacity(n) };
    for _ in 0..AT_ONCE.min(n) {
        opening.begin(network)?;
    }
    let driven = network.drive(&mut opening, PATIENCE, |opening, _| Ok(opening.opened.len() < opening.n));
    driven.map_err(|fault| format!("{fault}, with {} of {n} sockets open", opening.opened.len()))?;
    Ok(opening.opened)
}

struct Opening {
    n: usize,
    n_begun: usize,
    opened: Vec<ConnectionId>,
}

impl Opening {
    fn begin(&mut self, network: &mut Network) -> Result<()> {
        self.n_begun += 1;
        network.connect_websocket(WEBSOCKET_PATH)?;
        Ok(())
    }
}

impl Client for Opening {
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()> {
        match incoming {
            Incoming::Upgraded => Ok(()),
            Incoming::Message(message) if message.starts_with(b"0{") => network.send(from, b"40"),
            Incoming::Message(message) if message.starts_with(b"40{") => {
                self.opened.push(from);
                if self.n_begun < self.n { self.begin(network) } else { Ok(()) }
            }
            Incoming::Message(message) => Err(unexpected(message).into()),
            Incoming::Response(response) => Err(unexpected(&response.body).into()),
            Incoming::Closed => Err("the server closed a connection".into()),
        }
    }
}

/// Lets the sockets do nothing for a time. Pings are answered; anything else that comes is a fault.
pub(crate) fn rest(network: &mut Network, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    network.drive(&mut Resting, time + PATIENCE, |_, _| Ok(Instant::now() < end))
}

struct Resting;

impl Client for Resting {
    fn incoming(
        &mut self,
        _network: &mut Network,
        _from: ConnectionId,
        incoming: Incoming<'_>,
    ) -> Result<()> {
        match incoming {
            Incoming::Message(message) => Err(unexpected(message).into()),
            Incoming::Upgraded | Incoming::Response(_) => Err("a response that nobody asked for".into()),
            Incoming::Closed => Err("the server closed a connection".into()),
        }
    }
}
