//! Counters for operators.

/// A snapshot of a server's counters, by [`Server::metrics`](crate::Server::metrics).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Those of the engine: sessions, requests, packets.
    pub engine: ferrio_engine::Metrics,
    /// Those of namespaces, acks and the host's queue.
    pub socket_io: SocketIoMetrics,
}

impl Metrics {
    /// Every counter with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.engine.iter().chain(self.socket_io.iter())
    }
}

ferrio_engine::counters! {
    Counters,
    /// A snapshot of the counters of namespaces, acks and the host's queue.
    SocketIoMetrics,
    /// Sockets in all namespaces.
    sockets,
    /// Acks that did not come in time.
    acks_timed_out,
    /// Acks nobody waited for: late, double or forged.
    acks_unexpected,
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
