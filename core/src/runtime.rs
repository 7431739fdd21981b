//! The threads that do all I/O, shared by every server of the process.

use std::{
    process,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
};

use tokio::runtime::{Builder, Handle};

/// The runtime of this process, and the process it was started in.
static RUNTIME: OnceLock<Mutex<Option<(u32, Handle)>>> = OnceLock::new();

/// The process-wide runtime, started on first use.
///
/// A process that was forked after the first use gets a runtime of its own: the parent's threads do not exist in
/// it. The runtime lives as long as the process; its threads are daemons and never hold up an exit.
///
/// # Panics
/// When the operating system gives no thread or no epoll instance for it.
pub fn runtime() -> Handle {
    let mut slot = RUNTIME.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    match &*slot {
        Some((owner, handle)) if *owner == process::id() => handle.clone(),
        _ => {
            let handle = start();
            *slot = Some((process::id(), handle.clone()));
            handle
        }
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
