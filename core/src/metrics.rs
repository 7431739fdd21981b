//! Counters for operators.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The live counters of a server. Each is changed on its own; a snapshot is not a moment in time.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        /// A snapshot of a server's counters, by [`Server::metrics`](crate::Server::metrics).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Metrics {
                Metrics { $($name: self.$name.load(),)* }
            }
        }

        impl Metrics {
            /// Every counter with its name, in the order of their declaration.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Open sessions on long-polling.
    connections_polling,
    /// Open sessions on WebSocket.
    connections_websocket,
    /// Sessions opened since the start.
    connections_opened,
    /// Sessions closed since the start.
    connections_closed,
    /// Requests and upgrades refused since the start.
    requests_refused,
    /// Sockets in all namespaces.
    sockets,
    /// Engine packets received.
    packets_in,
    /// Engine packets queued for clients.
    packets_out,
    /// Bytes of engine packets received.
    bytes_in,
    /// Bytes queued for clients.
    bytes_out,
    /// Upgrades to WebSocket begun.
    upgrades_tried,
    /// Upgrades to WebSocket that did not end well.
    upgrades_failed,
    /// Acks that did not come in time.
    acks_timed_out,
    /// Acks nobody waited for: late, double or forged.
    acks_unexpected,
    /// Volatile events that were dropped because the receiver was busy.
    volatile_dropped,
    /// Events dropped because an outbox was full.
    outbox_dropped,
    /// Connections closed because their outbox was full.
    slow_readers_closed,
    /// Connections closed because the peer sent what the protocols do not allow.
    peer_errors,
    /// Sessions recovered.
    recovered,
    /// Times that a client was not read for a while because the host's queue, or the client's share of it, was full.
    host_queue_pauses,
    /// Requests without a session that wait for the host.
    requests_waiting,
    /// Events that wait for the host.
    host_queue_depth,
    /// Bytes of events that wait for the host.
    host_queue_bytes,
}

/// A number that many threads change.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    /// Counts one more unless there are `max` already. Returns whether it did.
    pub(crate) fn try_add_one(&self, max: usize) -> bool {
        let count = |n| (n < max as u64).then_some(n + 1);
        self.0.fetch_update(Relaxed, Relaxed, count).is_ok()
    }

    pub(crate) fn sub(&self, n: usize) {
        self.0.fetch_sub(n as u64, Relaxed);
    }

    pub(crate) fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, n: usize) {
        self.0.store(n as u64, Relaxed);
    }
}
