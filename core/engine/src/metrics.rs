//! Counters for operators.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ferrio_protocol::engine::CloseReason;

/// Declares counters, their snapshot, and how one is made of the other.
#[macro_export]
#[doc(hidden)]
macro_rules! counters {
    ($counters:ident, $(#[$metrics_doc:meta])* $metrics:ident, $($(#[$doc:meta])* $name:ident,)*) => {
        /// The live counters of a server. Each is changed on its own; a snapshot is not a moment in time.
        #[derive(Debug, Default)]
        pub struct $counters {
            $($(#[$doc])* pub $name: $crate::Counter,)*
        }

        $(#[$metrics_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct $metrics {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl $counters {
            /// All counters, each as it is now.
            pub fn snapshot(&self) -> $metrics {
                $metrics { $($name: self.$name.load(),)* }
            }
        }

        impl $metrics {
            /// Every counter with its name, in the order of their declaration.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    Counters,
    /// A snapshot of a server's counters, by [`Server::metrics`](crate::Server::metrics).
    Metrics,
    /// Open sessions on long-polling.
    connections_polling,
    /// Open sessions on WebSocket.
    connections_websocket,
    /// Sessions opened since the start.
    connections_opened,
    /// Sessions closed since the start.
    connections_closed,
    /// Of these, by the client's word or the end of its transport.
    closed_by_transport_close,
    /// Of these, because the transport broke.
    closed_by_transport_error,
    /// Of these, because the client was silent for too long.
    closed_by_ping_timeout,
    /// Of these, because the client sent what is no engine packet.
    closed_by_parse_error,
    /// Of these, by the server.
    closed_by_force,
    /// Of these, by the end of the server.
    closed_by_shutdown,
    /// Of these, because the client read too slowly.
    closed_as_slow_reader,
    /// Requests and upgrades refused since the start.
    requests_refused,
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
    /// Volatile events that were dropped because the receiver was busy.
    volatile_dropped,
    /// Events dropped because an outbox was full.
    outbox_dropped,
    /// Connections closed because their outbox was full.
    slow_readers_closed,
    /// Connections closed because the peer sent what the protocols do not allow.
    peer_errors,
}

impl Counters {
    /// Counts a session that was closed for a reason.
    pub(crate) fn count_closed(&self, reason: CloseReason) {
        self.connections_closed.add(1);
        let of_reason = match reason {
            CloseReason::TransportClose => &self.closed_by_transport_close,
            CloseReason::TransportError => &self.closed_by_transport_error,
            CloseReason::PingTimeout => &self.closed_by_ping_timeout,
            CloseReason::ParseError => &self.closed_by_parse_error,
            CloseReason::ForcedClose => &self.closed_by_force,
            CloseReason::ServerShutdown => &self.closed_by_shutdown,
            CloseReason::SlowReader => &self.closed_as_slow_reader,
            _ => return,
        };
        of_reason.add(1);
    }
}

impl Metrics {
    /// How many sessions were closed since the start, by reason.
    pub fn closed(&self) -> [(CloseReason, u64); 7] {
        [
            (CloseReason::TransportClose, self.closed_by_transport_close),
            (CloseReason::TransportError, self.closed_by_transport_error),
            (CloseReason::PingTimeout, self.closed_by_ping_timeout),
            (CloseReason::ParseError, self.closed_by_parse_error),
            (CloseReason::ForcedClose, self.closed_by_force),
            (CloseReason::ServerShutdown, self.closed_by_shutdown),
            (CloseReason::SlowReader, self.closed_as_slow_reader),
        ]
    }
}

/// A number that many threads change.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts so many more.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    /// Counts one more unless there are `max` already. Returns whether it did.
    pub fn try_add_one(&self, max: usize) -> bool {
        let count = |n| (n < max as u64).then_some(n + 1);
        self.0.fetch_update(Relaxed, Relaxed, count).is_ok()
    }

    /// Counts so many less.
    pub fn sub(&self, n: usize) {
        self.0.fetch_sub(n as u64, Relaxed);
    }

    /// The number now.
    pub fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Puts another number in its place.
    pub fn set(&self, n: usize) {
        self.0.store(n as u64, Relaxed);
    }
}
