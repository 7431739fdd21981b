//! Everything of a server that happens at a certain time, in one ordered map and one task.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Once, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::runtime::runtime;

/// Something that has deadlines. `token` tells which of its deadlines it is.
pub trait Expire: Send + Sync {
    /// The time is up. `key` is the entry's, which is gone.
    fn expired(self: Arc<Self>, token: u64, key: DeadlineKey, now: Instant);

    /// The server closes before the time is up. Returns whether the deadline still matters; if not, it is dropped.
    fn server_closed(self: Arc<Self>, token: u64) -> bool {
        let _ = token;
        false
    }
}

/// Who is told when the time is up. Whatever is not bound to end by itself is held weakly.
pub enum Due {
    /// Does not keep what is told.
    Weak(Weak<dyn Expire>, u64),
    /// Keeps it until then.
    Strong(Arc<dyn Expire>, u64),
}

impl Due {
    fn target(self) -> Option<(Arc<dyn Expire>, u64)> {
        match self {
            Self::Weak(target, token) => Some((target.upgrade()?, token)),
            Self::Strong(target, token) => Some((target, token)),
        }
    }
}

/// Names an entry, so that it can be cancelled.
pub type DeadlineKey = (Instant, u64);

/// How many entries are carried out before others get the thread: well under a millisecond's worth.
const BURST: usize = 128;

/// The deadlines of one server. A session has at most one entry, so an idle one costs one timer and no task.
pub struct Deadlines {
    entries: Mutex<BTreeMap<DeadlineKey, Due>>,
    next_id: AtomicU64,
    /// Rung when an entry became the first, and when the server closed.
    changed: Notify,
    is_closed: AtomicBool,
    started: Once,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            next_id: AtomicU64::new(0),
            changed: Notify::new(),
            is_closed: AtomicBool::new(false),
            started: Once::new(),
        }
    }
}

impl Deadlines {
    /// Adds an entry. The first starts the task that looks after all of them, and not before: a server may be made
    /// before a fork.
    pub fn add(self: &Arc<Self>, at: Instant, due: Due) -> DeadlineKey {
        self.started.call_once(|| {
            let deadlines = self.clone();
            // Ends when the server has closed and nothing is left.
            runtime().spawn(async move { deadlines.run().await });
        });
        let key = (at, self.next_id.fetch_add(1, Ordering::Relaxed));
        let mut entries = self.entries.lock();
        let is_first = entries.first_key_value().is_none_or(|(first, _)| key < *first);
        entries.insert(key, due);
        drop(entries);
        if is_first {
            self.changed.notify_one();
        }
        key
    }

    /// Removes an entry, if it is still there.
    pub fn cancel(&self, key: DeadlineKey) {
        let cancelled = self.entries.lock().remove(&key);
        // Dropped after the lock: it may be the last handle of what it names.
        drop(cancelled);
    }

    /// Puts something else in the place of an entry, for the same time. Returns whether it was still there.
    pub fn replace(&self, key: DeadlineKey, due: Due) -> bool {
        let mut entries = self.entries.lock();
        let former = entries.get_mut(&key).map(|entry| std::mem::replace(entry, due));
        drop(entries);
        former.is_some()
    }

    async fn run(&self) {
        loop {
            let changed = self.changed.notified();
            let first = self.entries.lock().first_key_value().map(|((at, _), _)| *at);
            match first {
                None if self.is_closed.load(Ordering::Acquire) => return,
                None => changed.await,
                Some(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at.into()) => {
                            self.fire(Instant::now());
                            // A hundred thousand pings due at once must not keep the thread from everybody's packets.
                            tokio::task::yield_now().await;
                        }
                    }
                }
            }
        }
    }

    /// Drops what no longer matters after the server's close.
    pub fn close(&self) {
        let entries = std::mem::take(&mut *self.entries.lock());
        for (key, due) in entries {
            let Some((target, token)) = due.target() else { continue };
            let weak = Arc::downgrade(&target);
            if target.server_closed(token) {
                self.entries.lock().insert(key, Due::Weak(weak, token));
            }
        }
        // Not before: the task would end when it found nothing between the two.
        self.is_closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Carries out what is due by `now`, at most [`BURST`] of it. What is left is due at once again.
    fn fire(&self, now: Instant) {
        for _ in 0..BURST {
            let mut entries = self.entries.lock();
            let (key, due) = match entries.first_entry() {
                Some(entry) if entry.key().0 <= now => entry.remove_entry(),
                _ => return,
            };
            drop(entries);
            if let Some((target, token)) = due.target() {
                target.expired(token, key, now);
            }
        }
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadlines").field("n_entries", &self.entries.lock().len()).finish_non_exhaustive()
    }
}
