//! Puts one workload on a running Socket.IO server and prints what it cost the server, as one line of JSON.
//!
//! One thread on epoll, hand-made frames and no JSON parser: the generator has to be much cheaper than any server, or
//! the two would compete for the machine that they share. Every answer is compared with what it must be; a wrong
//! answer ends the run with an error instead of a figure.
//!
//! In reading order:
//! - [`options`]: the command line.
//! - [`run`]: warm-up, measured time, the last answers; the traits that a workload implements.
//! - [`workloads`]: what the clients do.
//! - [`network`]: connections on epoll. [`frame`] and [`http`] are their two wire formats.
//! - [`socket`]: opens a set of Socket.IO sockets. [`packet`] and [`payload`]: the text that is sent and expected.
//! - [`tally`]: units and latencies. [`stopwatch`] and [`server_process`]: time, and memory of the server.

mod frame;
mod http;
mod network;
mod options;
mod packet;
mod payload;
mod run;
mod server_process;
mod socket;
mod stopwatch;
mod tally;
mod workloads;

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::Options;

/// A run either gives a figure or says in a sentence why it cannot.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match Options::from_arguments(std::env::args().skip(1)).and_then(|options| measure(&options)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("ferrio-load: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<serde_json::Value> {
    raise_descriptor_limit()?;
    workloads::measure(options)
}

/// Lets this process have as many descriptors as it may, because each connection needs one.
fn raise_descriptor_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}
