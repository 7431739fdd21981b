//! Every option of a server, with its meaning, default and bounds.
//!
//! The bindings offer the same options under their language's spelling; the text here is the full one.

use std::time::Duration;

use ferrio_engine::ConfigError;

/// The options of a [`Server`](crate::Server).
///
/// [`Config::default`] is socket.io's default configuration. [`Config::validate`] runs when a server is made:
/// a value out of bounds is refused, never clamped.
#[derive(Debug, Clone)]
pub struct Config {
    /// The options of the engine: path, transports, heartbeats, cross-origin rules, bounds of what a peer may send. The
    /// defaults are the engine's, but for the path, which is `/socket.io`.
    pub engine: ferrio_engine::Config,
    /// How long a client may stay without connecting to any namespace. Default 45 s. At least 1 ms, at most one day.
    pub connect_timeout: Duration,
    /// How long nothing follows a CONNECT packet on a WebSocket. Default zero, at most 1 s.
    ///
    /// For clients that wait for this one message and only then listen for the next, as the public test suite of the
    /// protocol does: they lose the next when it comes soon after. Longer delays the first events of every client.
    pub connect_pause: Duration,
    /// How a packet is written: socket.io's own text form, or `socket.io-msgpack-parser`'s. Default: text.
    pub parser: Parser,
    /// Whether the host is asked before a handshake is accepted ([`HostEvent::Request`](crate::HostEvent::Request)).
    ///
    /// Default `false`.
    pub ask_allow_request: bool,
    /// Whether the host is asked about namespaces that do not exist
    /// ([`HostEvent::Namespace`](crate::HostEvent::Namespace)). Default `false`: they are refused.
    pub ask_namespace: bool,
    /// What a client of an unknown namespace is told. Default: `{"message":"Invalid namespace"}`, as JSON text.
    pub unknown_namespace: String,
    /// Whether a dynamically created namespace goes away with its last socket. Default `false`.
    pub cleanup_empty_child_namespaces: bool,
    /// Connection state recovery. Default `None`: off.
    pub recovery: Option<Recovery>,
    /// What a peer may make the server keep or do.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: ferrio_engine::Config {
                path: "/socket.io".to_owned(),
                ..ferrio_engine::Config::default()
            },
            connect_timeout: Duration::from_secs(45),
            connect_pause: Duration::ZERO,
            parser: Parser::default(),
            ask_allow_request: false,
            ask_namespace: false,
            unknown_namespace: r#"{"message":"Invalid namespace"}"#.to_owned(),
            cleanup_empty_child_namespaces: false,
            recovery: None,
            limits: Limits::default(),
        }
    }
}

/// The form of Socket.IO packets on the wire. Client and server must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parser {
    /// Text with binary attachments: [socket.io-protocol](https://github.com/socketio/socket.io-protocol).
    #[default]
    Json,
    /// One MessagePack map a packet, as the package `socket.io-msgpack-parser` writes it.
    Msgpack,
    /// The application's own. Messages go to the host as they are, by
    /// [`SessionEvent::Message`](crate::SessionEvent::Message); it gives back the packets in them by
    /// [`Server::receive`](crate::Server::receive). Events and acks come from it encoded, as [`Payload::encoded`] makes them;
    /// CONNECT, `CONNECT_ERROR` and DISCONNECT packets it sends by itself, as messages of the session; where the core refuses
    /// a client, it says so by [`SessionEvent::Refused`](crate::SessionEvent::Refused). The end of a session comes by
    /// [`SessionEvent::Ending`](crate::SessionEvent::Ending). The number of an ack on the wire is that of
    /// [`AckRequest::token`](crate::AckRequest::token). There is no recovery.
    ///
    /// [`Payload::encoded`]: crate::Payload::encoded
    Application,
    /// None: messages go to the host as they are, by [`SessionEvent::Message`](crate::SessionEvent::Message). There are no
    /// namespaces, and a client need not connect to one; it is an Engine.IO server.
    None,
}

/// Connection state recovery: a client that comes back in time keeps its id, rooms and missed events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// How long a session and the events it misses are kept. Default 2 minutes. From 1 ms to one day.
    pub max_disconnection_duration: Duration,
    /// Whether the host is told to leave out its middleware for a recovered client. Default `false`: a client that
    /// was banned meanwhile stays out.
    pub skip_middlewares: bool,
    /// How many events a namespace keeps for replay. Default 10 000. At least 1.
    pub max_packets: usize,
    /// How many bytes of events a namespace keeps for replay. Default 64 MiB. At least 1.
    pub max_bytes: usize,
    /// How many sessions a namespace keeps. Default 100 000. At least 1.
    pub max_sessions: usize,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            max_disconnection_duration: Duration::from_secs(120),
            skip_middlewares: false,
            max_packets: 10_000,
            max_bytes: 64 << 20,
            max_sessions: 100_000,
        }
    }
}

/// Bounds on what one peer, or all of them together, may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attachments in one packet. Default 10, as socket.io's parser. At most 1 000.
    pub max_attachments: usize,
    /// Nesting of arrays and objects in a packet. Default 512. From 1 to 100 000.
    pub max_depth: usize,
    /// How long the attachments of one packet may take to arrive. Default 30 s. At least 1 ms.
    pub attachments_timeout: Duration,
    /// Namespaces one connection may be in. Default 100. At least 1.
    pub max_namespaces_per_connection: usize,
    /// Events waiting for the host. Beyond it no message is taken from a client and no handshake served until the host
    /// has caught up; those who wait take turns, heartbeats go on, and nothing is dropped. Default 16 384. From 16 to
    /// 2³⁰.
    pub host_queue: usize,
    /// Bytes of events waiting for the host, with the same effect; each counts 256 more than it has, and a client that
    /// the host has not heard of 16 KiB. Default 64 MiB. At least 1.
    pub host_queue_bytes: usize,
    /// Events of one connection that wait for the host or that it is at work on
    /// ([`Credit`](crate::Credit)). Beyond it no message is taken from this client. An event that is longer than
    /// `host_queue_bytes / host_queue` (4 KiB by default) counts as several, so the default allows 1 MiB, or one event
    /// of any size. While the host awaits an ack of the client ([`Awaited`](crate::Awaited)), up to half of `host_queue`
    /// may be under way. Default 256. From 1 to 2³⁰.
    pub host_queue_share: usize,
    /// Requests without a session that wait for the host: for room in its queue, or for its word. A request beyond is
    /// answered with 503. Default 1 024. At least 1.
    pub max_waiting_requests: usize,
    /// Bytes of answers that one emit to many sockets gathers, each answer and attachment counting 96 more than it has.
    /// Beyond it the emit ends with those it has ([`AckStatus::TooLarge`](crate::AckStatus::TooLarge)). Default 16 MiB.
    /// At least 1.
    pub max_ack_bytes: usize,
    /// Bytes of answers that all such emits gather at one time, with the same effect on the one that goes beyond.
    /// Default 64 MiB. At least 1.
    pub max_total_ack_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_depth: 512,
            attachments_timeout: Duration::from_secs(30),
            max_namespaces_per_connection: 100,
            host_queue: 16_384,
            host_queue_bytes: 64 << 20,
            host_queue_share: 256,
            max_waiting_requests: 1024,
            max_ack_bytes: 16 << 20,
            max_total_ack_bytes: 64 << 20,
        }
    }
}

impl Config {
    /// Checks every option against its bounds.
    ///
    /// # Errors
    /// The first option that is out of them.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.engine.validate()?;
        ConfigError::duration("connect_timeout", self.connect_timeout)?;
        let is_short = self.connect_pause <= Duration::from_secs(1);
        ConfigError::check(is_short, "connect_pause", "at most 1 s", self.connect_pause)?;
        let can_recover = self.recovery.is_none() || self.parser != Parser::Application;
        ConfigError::check(can_recover, "recovery", "off with a `parser` of the application's own", "on")?;
        if let Some(recovery) = &self.recovery {
            let within = ConfigError::within;
            let max_duration = recovery.max_disconnection_duration;
            ConfigError::duration("recovery.max_disconnection_duration", max_duration)?;
            within("recovery.max_packets", recovery.max_packets, 1, usize::MAX)?;
            within("recovery.max_bytes", recovery.max_bytes, 1, usize::MAX)?;
            within("recovery.max_sessions", recovery.max_sessions, 1, usize::MAX)?;
        }
        self.limits.validate()
    }
}

impl Limits {
    fn validate(&self) -> Result<(), ConfigError> {
        let within = ConfigError::within;
        within("limits.max_attachments", self.max_attachments, 0, 1000)?;
        within("limits.max_depth", self.max_depth, 1, 100_000)?;
        ConfigError::duration("limits.attachments_timeout", self.attachments_timeout)?;
        within("limits.max_namespaces_per_connection", self.max_namespaces_per_connection, 1, usize::MAX)?;
        within("limits.host_queue", self.host_queue, 16, 1 << 30)?;
        within("limits.host_queue_bytes", self.host_queue_bytes, 1, usize::MAX)?;
        within("limits.host_queue_share", self.host_queue_share, 1, 1 << 30)?;
        within("limits.max_waiting_requests", self.max_waiting_requests, 1, usize::MAX)?;
        within("limits.max_ack_bytes", self.max_ack_bytes, 1, usize::MAX)?;
        within("limits.max_total_ack_bytes", self.max_total_ack_bytes, 1, usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_by_name_and_bound() {
        let limits = Limits { host_queue: 1, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.validate().expect_err("1 is below the bound");
        assert_eq!(error.option(), "limits.host_queue");
        assert_eq!(error.to_string(), "option `limits.host_queue` must be from 16 to 1073741824, not 1");

        let engine = ferrio_engine::Config { max_http_buffer_size: 0, ..Config::default().engine };
        let error = Config { engine, ..Config::default() }.validate().expect_err("zero is below the bound");
        assert_eq!(error.option(), "max_http_buffer_size");
    }
}
