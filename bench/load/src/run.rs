//! Runs one workload: warm-up, the measured time, then the answers still on their way.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::network::{Client, Network};
use crate::options::Options;
use crate::stopwatch::Stopwatch;
use crate::tally::Tally;

/// How long a server may say nothing before the run has failed. Longer than any pause that a busy machine causes,
/// shorter than a heartbeat.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that ask for units of work again and again.
pub(crate) trait Workload: Client {
    /// Sends the first requests.
    fn start(&mut self, network: &mut Network) -> Result<()>;

    /// Makes no further requests; what is under way is still answered.
    fn stop(&mut self, network: &mut Network) -> Result<()>;

    /// Whether every request has its answers.
    fn is_drained(&self) -> bool;

    fn tally(&mut self) -> &mut Tally;
}

/// Measures what a unit of the workload costs.
pub(crate) fn run<W: Workload>(options: &Options, network: &mut Network, workload: &mut W) -> Result<Value> {
    workload.start(network)?;
    drive_for(network, workload, options.warm_up)?;

    workload.tally().clear();
    let stopwatch = Stopwatch::start(options.pid)?;
    drive_for(network, workload, options.measured)?;
    let report = workload.tally().report(&stopwatch.stop()?);

    workload.stop(network)?;
    let deadline = Instant::now() + PATIENCE;
    let driven = network.drive(workload, PATIENCE, |workload, network| match workload.is_drained() {
        false if network.now > deadline => Err("the server talks on".into()),
        is_drained => Ok(!is_drained),
    });
    driven.map_err(|fault| format!("{fault}, with the last requests not answered"))?;
    Ok(report)
}

fn drive_for<W: Workload>(network: &mut Network, workload: &mut W, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    network.drive(workload, PATIENCE, |_, _| Ok(Instant::now() < end))
}
