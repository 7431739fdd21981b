//! Reads the command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::Result;

const USAGE: &str = "usage: ferrio-load --pid PID --port PORT --workload NAME \
                     [--seconds S] [--warm-up S] [--clients N]";

/// What to measure, and where.
#[derive(Debug)]
pub(crate) struct Options {
    /// The server's process, whose CPU time and memory are read.
    pub(crate) pid: u32,
    pub(crate) address: SocketAddr,
    pub(crate) workload: String,
    /// How long units are counted.
    pub(crate) measured: Duration,
    /// How long the load runs before that, so that the server's code is compiled and its buffers have grown.
    pub(crate) warm_up: Duration,
    /// Overrides the workload's own number of clients.
    pub(crate) n_clients: Option<usize>,
}

impl Options {
    /// Reads `--name value` pairs.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            pid: 0,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            workload: String::new(),
            measured: Duration::from_secs(3),
            warm_up: Duration::from_secs(1),
            n_clients: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--pid" => options.pid = value.parse()?,
                "--port" => options.address.set_port(value.parse()?),
                "--workload" => options.workload = value,
                "--seconds" => options.measured = Duration::try_from_secs_f64(value.parse()?)?,
                "--warm-up" => options.warm_up = Duration::try_from_secs_f64(value.parse()?)?,
                "--clients" => options.n_clients = Some(value.parse()?),
                _ => return Err(USAGE.into()),
            }
        }
        let is_complete = options.pid != 0 && options.address.port() != 0 && !options.workload.is_empty();
        if is_complete { Ok(options) } else { Err(USAGE.into()) }
    }
}
