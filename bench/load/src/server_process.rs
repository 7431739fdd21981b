//! Reads the CPU time and the memory of the server, its child processes included, from `/proc`.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;

/// The process under load.
pub(crate) struct ServerProcess {
    pid: u32,
}

/// What a process tree occupies, in KiB.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Resident, with shared pages divided among the processes that share them.
    pub(crate) proportional: u64,
}

impl ServerProcess {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// The user and system time of all threads so far. The kernel counts it exactly and shows it in ticks of 10 ms.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let mut ticks = 0;
        for pid in self.tree() {
            ticks += cpu_ticks(pid)?;
        }
        let milliseconds = ticks * 1000 / rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis(milliseconds))
    }

    /// The memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        for pid in self.tree() {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            memory.resident += kib(&rollup, "Rss:")?;
            memory.proportional += kib(&rollup, "Pss:")?;
        }
        Ok(memory)
    }

    /// The process and everything below it.
    fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.pid];
        let mut position = 0;
        while let Some(pid) = tree.get(position) {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
            let children: Vec<u32> = lists
                .flat_map(|list| {
                    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
                })
                .collect();
            tree.extend(children);
            position += 1;
        }
        tree
    }
}

impl Memory {
    /// What each of `n` connections added since `before`.
    pub(crate) fn growth(self, before: Self, n: usize) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "kibibytes of a process fit into 52 bits")]
        let each = |now: u64, then: u64| (now as f64 - then as f64) / n as f64;
        json!({
            "rss_kib": each(self.resident, before.resident),
            "pss_kib": each(self.proportional, before.proportional),
        })
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`, counted after the name, which may contain anything.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || times.next().ok_or("no times in /proc/PID/stat");
    Ok(next()?.parse::<u64>()? + next()?.parse::<u64>()?)
}

fn kib(rollup: &str, name: &str) -> Result<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix(name)).ok_or("no sum in smaps_rollup")?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}
