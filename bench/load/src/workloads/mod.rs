//! The workloads by name.

mod connect;
mod echo;
mod fanout;
mod heartbeat;
mod idle;
mod oneway;
mod polling;
mod upgrade;

use serde_json::{Value, json};

use crate::Result;
use crate::network::Network;
use crate::options::Options;
use crate::run::run;
use crate::socket::open_sockets;

/// The length of an event's data, in bytes of JSON: a short chat message.
const SHORT: usize = 100;
/// A long one.
const LONG: usize = 1024;

/// Runs the workload that the options name.
pub(crate) fn measure(options: &Options) -> Result<Value> {
    let network = &mut Network::new(options.address)?;
    let clients = |default| options.n_clients.unwrap_or(default);
    let mut report = match options.workload.as_str() {
        "echo" => echo(options, network, clients(200), 1, SHORT)?,
        "echo4" => echo(options, network, clients(64), 4, SHORT)?,
        "echo1k" => echo(options, network, clients(200), 1, LONG)?,
        "fixed" => {
            let sockets = open_sockets(network, clients(200))?;
            run(options, network, &mut echo::Echo::paced(sockets, SHORT))?
        }
        "oneway" => {
            let sockets = open_sockets(network, clients(50))?;
            run(options, network, &mut oneway::Oneway::new(sockets, SHORT))?
        }
        "broadcast" => {
            let sockets = open_sockets(network, clients(500))?;
            run(options, network, &mut fanout::Fanout::to_all(&sockets, SHORT))?
        }
        "rooms" => {
            let sockets = open_sockets(network, clients(1000))?;
            fanout::join_rooms(network, &sockets)?;
            run(options, network, &mut fanout::Fanout::to_rooms(&sockets, SHORT))?
        }
        "polling" => {
            let mut polling = polling::Polling::open(network, clients(100), SHORT)?;
            run(options, network, &mut polling)?
        }
        "connect" => run(options, network, &mut connect::Connect::new(clients(32)))?,
        "upgrade" => run(options, network, &mut upgrade::Upgrade::new(clients(64)))?,
        "idle" => idle::measure(options, network, clients(2000))?,
        "heartbeat" => heartbeat::measure(options, network, clients(2000))?,
        other => return Err(format!("no workload is called {other}").into()),
    };
    report["workload"] = json!(options.workload);
    Ok(report)
}

fn echo(
    options: &Options,
    network: &mut Network,
    n: usize,
    n_outstanding: usize,
    length: usize,
) -> Result<Value> {
    let sockets = open_sockets(network, n)?;
    run(options, network, &mut echo::Echo::saturating(sockets, n_outstanding, length))
}
