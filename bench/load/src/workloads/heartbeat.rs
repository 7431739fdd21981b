//! CPU time that the heartbeat of connections costs on which nothing else happens.

use serde_json::Value;

use crate::Result;
use crate::network::Network;
use crate::options::Options;
use crate::socket::{open_sockets, rest};
use crate::stopwatch::Stopwatch;
use crate::tally::Tally;

/// Answers pings on `n` connections. The server has to be started with a short ping interval.
pub(crate) fn measure(options: &Options, network: &mut Network, n: usize) -> Result<Value> {
    open_sockets(network, n)?;
    rest(network, options.warm_up)?;

    network.n_heartbeats = 0;
    let stopwatch = Stopwatch::start(options.pid)?;
    rest(network, options.measured)?;
    let times = stopwatch.stop()?;
    if network.n_heartbeats == 0 {
        return Err("the server sent no ping".into());
    }
    let mut tally = Tally::default();
    tally.count(network.n_heartbeats);
    Ok(tally.report(&times))
}
