//! Takes the wall time and the CPU time of both sides over a stretch of a run.

use std::time::{Duration, Instant};

use crate::Result;
use crate::server_process::ServerProcess;

/// A stretch that has begun.
pub(crate) struct Stopwatch {
    server: ServerProcess,
    began: Instant,
    server_before: Duration,
    own_before: Duration,
}

/// What a stretch took.
pub(crate) struct Times {
    pub(crate) wall: Duration,
    /// CPU time of the server.
    pub(crate) server: Duration,
    /// CPU time of this process, to show that it is the cheaper side.
    pub(crate) own: Duration,
}

impl Stopwatch {
    pub(crate) fn start(pid: u32) -> Result<Self> {
        let server = ServerProcess::new(pid);
        let (server_before, own_before) = (server.cpu_time()?, own_cpu_time()?);
        Ok(Self { server, began: Instant::now(), server_before, own_before })
    }

    pub(crate) fn stop(self) -> Result<Times> {
        Ok(Times {
            wall: self.began.elapsed(),
            server: self.server.cpu_time()?.saturating_sub(self.server_before),
            own: own_cpu_time()?.saturating_sub(self.own_before),
        })
    }
}

/// The CPU time of this process.
fn own_cpu_time() -> Result<Duration> {
    ServerProcess::new(std::process::id()).cpu_time()
}
