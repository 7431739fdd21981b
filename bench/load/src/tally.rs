//! Counts units of work and keeps their latencies.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stopwatch::Times;

/// What one workload has done since the measured time began.
#[derive(Default)]
pub(crate) struct Tally {
    n_units: u64,
    /// One for each unit, or for each group of units that is asked for together.
    latencies: Vec<Duration>,
}

impl Tally {
    /// Starts over: what was counted so far was warm-up.
    pub(crate) fn clear(&mut self) {
        self.n_units = 0;
        self.latencies.clear();
    }

    /// Counts units.
    pub(crate) fn count(&mut self, n_units: u64) {
        self.n_units += n_units;
    }

    /// Keeps how long it took from asking to the last answer.
    pub(crate) fn took(&mut self, since: Instant, now: Instant) {
        self.latencies.push(now - since);
    }

    /// The figures of a run that took these times.
    #[expect(clippy::cast_precision_loss, reason = "units of a run fit into 52 bits")]
    pub(crate) fn report(&mut self, times: &Times) -> Value {
        self.latencies.sort_unstable();
        let units = self.n_units as f64;
        let per_unit = |time: Duration| time.as_secs_f64() * 1e6 / units;
        json!({
            "units": self.n_units,
            "seconds": times.wall.as_secs_f64(),
            "per_second": units / times.wall.as_secs_f64(),
            "cpu_us": per_unit(times.server),
            "client_cpu_us": per_unit(times.own),
            "p50_us": self.percentile(50),
            "p99_us": self.percentile(99),
        })
    }

    fn percentile(&self, percent: usize) -> Option<f64> {
        let position = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(position).map(|latency| latency.as_secs_f64() * 1e6)
    }
}
