//! The threads that do all I/O, shared by every server of the process.

use std::{process, sync::OnceLock, thread};

use tokio::runtime::{Builder, Handle};

/// The runtime of one process, and those of the processes that were forked from it.
///
/// A chain, because there is nothing to lock in it: a lock may be held, at the moment of a fork, by a thread that the
/// child does not have.
#[derive(Default)]
struct Lineage {
    own: OnceLock<(u32, Handle)>,
    forked: OnceLock<Box<Self>>,
}

static FIRST: Lineage = Lineage { own: OnceLock::new(), forked: OnceLock::new() };

/// The process-wide runtime, started on first use.
///
/// A process that was forked after the first use gets a runtime of its own: the parent's threads do not exist in
/// it. The parent's servers are of no use there either, and must not be touched, not even dropped: their sockets are
/// the parent's, and their locks may be held for ever. The runtime lives as long as the process; its threads are daemons
/// and never hold up an exit.
///
/// # Panics
/// When the operating system gives no thread or no epoll instance for it.
pub fn runtime() -> Handle {
    let process = process::id();
    let mut lineage = &FIRST;
    loop {
        let (owner, handle) = lineage.own.get_or_init(|| (process, start()));
        if *owner == process {
            return handle.clone();
        }
        lineage = lineage.forked.get_or_init(Box::default);
    }
}

/// Looking a name up waits for others, so that even on one core there is a second thread.
const MIN_BLOCKING: usize = 2;
/// What they do takes a core each.
const MAX_BLOCKING: usize = 16;

fn start() -> Handle {
    // One core is the host's. A further I/O thread beside it is woken for nothing whenever a lone event comes: with two
    // on two cores an echo at 4 000 per second took a quarter more CPU time, a delivery of a broadcast a sixth more.
    let n_cores = thread::available_parallelism().map_or(2, usize::from);
    let n_threads = (n_cores - 1).clamp(1, 8);
    let runtime = Builder::new_multi_thread()
        .worker_threads(n_threads)
        // For what takes the processor or a disk long: bodies to compress, files, names to look up. More of it waits.
        .max_blocking_threads(n_cores.clamp(MIN_BLOCKING, MAX_BLOCKING))
        .thread_name("ferrio-io")
        .enable_io()
        .enable_time()
        .build()
        .expect("the operating system gives threads and an epoll instance");
    let handle = runtime.handle().clone();
    // Dropping a runtime waits for its threads; a process that exits must not.
    std::mem::forget(runtime);
    handle
}
