//! Everything of a server that happens at a certain time, in one ordered map and one task.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{ack::Collector, connection::Connection, namespace::Namespace, server::Shared, socket::Socket};

/// What is due. Whatever is not bound to end by itself is held weakly.
#[derive(Debug)]
pub(crate) enum Due {
    /// Heartbeat, upgrade, connect timeout, attachments, the end of a WebSocket: the connection knows which.
    Connection(Weak<Connection>),
    /// The last words of a session that has ended.
    Farewell(Weak<Shared>, Arc<str>),
    /// An ack that one socket owes.
    Ack(Weak<Socket>, u64),
    /// An ack, by the host's token, whose socket has left: its lack is reported all the same, at its time.
    LostAck(Weak<Shared>, u64),
    /// Acks that many sockets owe.
    Acks(Arc<Collector>),
    /// The oldest session that a namespace keeps for recovery.
    Recovery(Weak<Namespace>),
}

impl Due {
    /// The time of an ack is up.
    fn report_missing(self) {
        match self {
            // One that has left has put another entry in this one's place, or reports the ack itself.
            Self::Ack(socket, id) => _ = socket.upgrade().map(|socket| socket.ack_timed_out(id)),
            Self::LostAck(server, token) => _ = server.upgrade().map(|server| server.ack_timed_out(token)),
            Self::Acks(collector) => collector.timed_out(),
            Self::Connection(_) | Self::Farewell(..) | Self::Recovery(_) => {}
        }
    }
}

/// Names an entry, so that it can be cancelled.
pub(crate) type DeadlineKey = (Instant, u64);

/// How many entries are carried out before others get the thread: well under a millisecond's worth.
const BURST: usize = 128;

/// The deadlines of one server. A connection has at most one entry, so an idle one costs one timer and no task.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    entries: Mutex<BTreeMap<DeadlineKey, Due>>,
    next_id: AtomicU64,
    /// Rung when an entry became the first, and when the server closed.
    changed: Notify,
    is_closed: AtomicBool,
}

impl Deadlines {
    pub(crate) fn add(&self, at: Instant, due: Due) -> DeadlineKey {
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

    pub(crate) fn cancel(&self, key: DeadlineKey) {
        let cancelled = self.entries.lock().remove(&key);
        // Dropped after the lock: it may be the last handle of what it names.
        drop(cancelled);
    }

    /// Puts something else in the place of an entry, for the same time. Returns whether it was still there.
    pub(crate) fn replace(&self, key: DeadlineKey, due: Due) -> bool {
        let mut entries = self.entries.lock();
        let former = entries.get_mut(&key).map(|entry| std::mem::replace(entry, due));
        drop(entries);
        former.is_some()
    }

    /// Carries out what is due. Ends when nothing is left after [`close`](Self::close).
    pub(crate) async fn run(&self) {
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

    /// Drops what no longer matters after the server's close. Acks that are due are reported as missing now;
    /// connections that still have to say goodbye keep their time.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let entries = std::mem::take(&mut *self.entries.lock());
        for ((at, id), due) in entries {
            match due {
                Due::Connection(connection) => {
                    let is_saying_goodbye =
                        connection.upgrade().is_some_and(|connection| connection.is_ending());
                    if is_saying_goodbye {
                        self.entries.lock().insert((at, id), Due::Connection(connection));
                    }
                }
                Due::Farewell(..) => _ = self.entries.lock().insert((at, id), due),
                Due::Recovery(_) => {}
                ack => ack.report_missing(),
            }
        }
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
            match due {
                Due::Connection(connection) => {
                    if let Some(connection) = connection.upgrade() {
                        connection.deadline_reached(key, now);
                    }
                }
                Due::Farewell(server, id) => {
                    if let Some(server) = server.upgrade() {
                        server.farewells.take(&id);
                    }
                }
                Due::Recovery(namespace) => {
                    if let Some(namespace) = namespace.upgrade() {
                        namespace.expire_sessions(now);
                    }
                }
                ack => ack.report_missing(),
            }
        }
    }
}
