//! Memory that a connection occupies while nothing happens on it.

use std::time::Duration;

use serde_json::Value;

use crate::Result;
use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::options::Options;
use crate::packet::unexpected;
use crate::run::PATIENCE;
use crate::server_process::ServerProcess;
use crate::socket::{open_sockets, rest};

/// Opened and closed before the first look, so that what a server loads once is not laid on the connections.
const N_WARM_UP: usize = 100;

/// Time for the server to finish what connecting left behind.
const SETTLING: Duration = Duration::from_secs(1);

/// Compares the server's memory without and with `n` sockets.
pub(crate) fn measure(options: &Options, network: &mut Network, n: usize) -> Result<Value> {
    let server = ServerProcess::new(options.pid);
    for connection in open_sockets(network, N_WARM_UP)? {
        network.disconnect(connection)?;
    }
    let mut leaving = Leaving { n_left: 0 };
    network.drive(&mut leaving, PATIENCE, |leaving, _| Ok(leaving.n_left < N_WARM_UP))?;
    rest(network, SETTLING)?;

    let before = server.memory()?;
    open_sockets(network, n)?;
    rest(network, SETTLING)?;
    Ok(server.memory()?.growth(before, n))
}

struct Leaving {
    n_left: usize,
}

impl Client for Leaving {
    fn incoming(
        &mut self,
        _network: &mut Network,
        _from: ConnectionId,
        incoming: Incoming<'_>,
    ) -> Result<()> {
        match incoming {
            Incoming::Closed => self.n_left += 1,
            Incoming::Message(message) => return Err(unexpected(message).into()),
            Incoming::Upgraded | Incoming::Response(_) => {
                return Err("a response that nobody asked for".into());
            }
        }
        Ok(())
    }
}
