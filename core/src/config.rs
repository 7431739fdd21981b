//! Every option of a server, with its meaning, default and bounds.
//!
//! The bindings offer the same options under their language's spelling; the text here is the full one.

use std::{error::Error, fmt, time::Duration};

use crate::cors::Cors;

/// The options of a [`Server`](crate::Server).
///
/// [`Config::default`] is socket.io's default configuration. [`Config::validate`] runs when a server is made:
/// a value out of bounds is refused, never clamped.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own, named as in socket.io")]
pub struct Config {
    /// The path under which the server answers; every path that starts with it belongs to the server.
    ///
    /// Default `/socket.io`. Must start with `/`; a trailing slash is ignored.
    pub path: String,
    /// Which transports a client may use. Default: both. At least one.
    pub transports: Transports,
    /// Whether a polling session may move to WebSocket. Default `true`.
    pub allow_upgrades: bool,
    /// Time between two pings of the server (Engine.IO 4), or the interval announced to the client (Engine.IO 3).
    ///
    /// Default 25 s. At least 1 ms, at most one day. Shorter finds dead peers sooner and costs traffic.
    pub ping_interval: Duration,
    /// How long a peer may stay silent after a ping before the session closes with `ping timeout`.
    ///
    /// Default 20 s. At least 1 ms, at most one day.
    pub ping_timeout: Duration,
    /// How long an upgrade may take from its probe to its end. Default 10 s. At least 1 ms, at most one day.
    pub upgrade_timeout: Duration,
    /// How long a client may stay without joining any namespace. Default 45 s. At least 1 ms, at most one day.
    pub connect_timeout: Duration,
    /// How long nothing follows a CONNECT packet on a WebSocket. Default zero, at most 1 s.
    ///
    /// For clients that wait for this one message and only then listen for the next, as the public test suite of the
    /// protocol does: they lose the next when it comes soon after. Longer delays the first events of every client.
    pub connect_pause: Duration,
    /// The largest incoming message and polling body, in bytes.
    ///
    /// Default 1 000 000. From 1 byte to 2³⁰. A longer POST is answered with 413, a longer WebSocket message
    /// closes the connection with status 1009.
    pub max_http_buffer_size: usize,
    /// Whether clients of Socket.IO 2 (Engine.IO 3) are served. Default `false`.
    pub allow_eio3: bool,
    /// How a packet is written: socket.io's own text form, or `socket.io-msgpack-parser`'s. Default: text.
    pub parser: Parser,
    /// Cross-origin rules. Default `None`: no header is sent and no origin is refused.
    pub cors: Option<Cors>,
    /// The cookie set by a handshake, for load balancers that keep a client on one node. Default `None`.
    pub cookie: Option<Cookie>,
    /// Polling bodies of at least this many bytes are compressed when the client accepts it.
    ///
    /// Default `Some(1024)`; `None` switches compression off.
    pub http_compression: Option<usize>,
    /// Whether the host is asked before a handshake is accepted ([`HostEvent::Request`](crate::HostEvent::Request)).
    ///
    /// Default `false`.
    pub ask_allow_request: bool,
    /// Whether the host is asked about namespaces that do not exist
    /// ([`HostEvent::Namespace`](crate::HostEvent::Namespace)). Default `false`: they are refused.
    pub ask_namespace: bool,
    /// What a client of an unknown namespace is told. Default: `{"message":"Invalid namespace"}`, as JSON text.
    pub unknown_namespace: String,
    /// Whether the host hears about rooms being made, joined, left and deleted. Default `false`.
    pub room_events: bool,
    /// Whether a dynamically created namespace goes away with its last socket. Default `false`.
    pub cleanup_empty_child_namespaces: bool,
    /// Connection state recovery. Default `None`: off.
    pub recovery: Option<Recovery>,
    /// What a peer may make the server keep or do.
    pub limits: Limits,
    /// What happens to a client that does not read what it is sent.
    pub outbox: OutboxLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            transports: Transports::default(),
            allow_upgrades: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            connect_pause: Duration::ZERO,
            max_http_buffer_size: 1_000_000,
            allow_eio3: false,
            parser: Parser::default(),
            cors: None,
            cookie: None,
            http_compression: Some(1024),
            ask_allow_request: false,
            ask_namespace: false,
            unknown_namespace: r#"{"message":"Invalid namespace"}"#.to_owned(),
            room_events: false,
            cleanup_empty_child_namespaces: false,
            recovery: None,
            limits: Limits::default(),
            outbox: OutboxLimits::default(),
        }
    }
}

/// The transports a client may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports {
    /// HTTP long-polling.
    pub polling: bool,
    /// WebSocket, directly or by upgrade.
    pub websocket: bool,
}

impl Default for Transports {
    fn default() -> Self {
        Self { polling: true, websocket: true }
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
}

/// The cookie that a handshake sets, holding the session id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// The cookie's name. Default `io`.
    pub name: String,
    /// Further attributes, as they stand behind the value: `Path=/; HttpOnly; SameSite=Lax` by default.
    pub attributes: String,
}

impl Default for Cookie {
    fn default() -> Self {
        Self { name: "io".to_owned(), attributes: "Path=/; HttpOnly; SameSite=Lax".to_owned() }
    }
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
    /// Fragments of one WebSocket message. Default 1 024. At least 1.
    pub max_fragments: usize,
    /// Bytes of a request's head on the server's own port. Default 16 KiB. From 8 KiB (hyper's minimum) to 1 MiB.
    pub max_header_bytes: usize,
    /// How long a request's head, or a TLS handshake, may take on the server's own port. Default 10 s.
    pub header_timeout: Duration,
    /// Connections (Engine.IO sessions) of the server. Default 1 000 000. A handshake beyond is answered with 503.
    pub max_connections: usize,
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
    /// Packets in one answer to a poll. Default 16: the official Python client refuses more. At least 1.
    pub max_packets_per_poll: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_depth: 512,
            attachments_timeout: Duration::from_secs(30),
            max_namespaces_per_connection: 100,
            max_fragments: 1024,
            max_header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            max_connections: 1_000_000,
            host_queue: 16_384,
            host_queue_bytes: 64 << 20,
            host_queue_share: 256,
            max_waiting_requests: 1024,
            max_ack_bytes: 16 << 20,
            max_total_ack_bytes: 64 << 20,
            max_packets_per_poll: 16,
        }
    }
}

/// The bound of one connection's outbox, and what happens at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes that may wait for one connection beyond what the kernel took, each frame counting 96 more than it has.
    /// Default 16 MiB. At least 1 KiB.
    pub max_bytes: usize,
    /// What happens to a connection whose outbox is full. Default: it is closed.
    pub policy: SlowReader,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { max_bytes: 16 << 20, policy: SlowReader::default() }
    }
}

/// What happens when a client's outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowReader {
    /// The connection is closed with the reason `slow reader`.
    #[default]
    Disconnect,
    /// The oldest events that wait are dropped, whole, and counted. Acks and control packets stay.
    DropOldest,
    /// The new event is dropped and counted. Acks and control packets are still queued.
    DropNewest,
}

impl Config {
    /// Checks every option against its bounds.
    ///
    /// # Errors
    /// The first option that is out of them.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let duration = |option, value: Duration| {
            check((Duration::from_millis(1)..=DAY).contains(&value), option, "from 1 ms to 24 h", value)
        };
        check(self.path.starts_with('/'), "path", "a path that starts with `/`", &self.path)?;
        check(
            self.transports.polling || self.transports.websocket,
            "transports",
            "at least one of polling and websocket",
            "none",
        )?;
        duration("ping_interval", self.ping_interval)?;
        duration("ping_timeout", self.ping_timeout)?;
        duration("upgrade_timeout", self.upgrade_timeout)?;
        duration("connect_timeout", self.connect_timeout)?;
        let is_short = self.connect_pause <= Duration::from_secs(1);
        check(is_short, "connect_pause", "at most 1 s", self.connect_pause)?;
        within("max_http_buffer_size", self.max_http_buffer_size, 1, 1 << 30)?;
        if let Some(recovery) = &self.recovery {
            duration("recovery.max_disconnection_duration", recovery.max_disconnection_duration)?;
            within("recovery.max_packets", recovery.max_packets, 1, usize::MAX)?;
            within("recovery.max_bytes", recovery.max_bytes, 1, usize::MAX)?;
            within("recovery.max_sessions", recovery.max_sessions, 1, usize::MAX)?;
        }
        if let Some(cors) = &self.cors {
            cors.validate(|valid, option, bound, value| check(valid, option, bound, value))?;
        }
        if let Some(cookie) = &self.cookie {
            let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
            let valid = !cookie.name.is_empty() && cookie.name.bytes().all(is_token);
            check(valid, "cookie.name", "a cookie name", &cookie.name)?;
            let valid = cookie.attributes.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            check(valid, "cookie.attributes", "printable ASCII", &cookie.attributes)?;
        }
        self.limits.validate(duration)?;
        within("outbox.max_bytes", self.outbox.max_bytes, 1024, usize::MAX)
    }
}

impl Limits {
    fn validate(
        &self,
        duration: impl Fn(&'static str, Duration) -> Result<(), ConfigError>,
    ) -> Result<(), ConfigError> {
        within("limits.max_attachments", self.max_attachments, 0, 1000)?;
        within("limits.max_depth", self.max_depth, 1, 100_000)?;
        duration("limits.attachments_timeout", self.attachments_timeout)?;
        within("limits.max_namespaces_per_connection", self.max_namespaces_per_connection, 1, usize::MAX)?;
        within("limits.max_fragments", self.max_fragments, 1, usize::MAX)?;
        within("limits.max_header_bytes", self.max_header_bytes, 8 << 10, 1 << 20)?;
        duration("limits.header_timeout", self.header_timeout)?;
        within("limits.max_connections", self.max_connections, 1, usize::MAX)?;
        within("limits.host_queue", self.host_queue, 16, 1 << 30)?;
        within("limits.host_queue_bytes", self.host_queue_bytes, 1, usize::MAX)?;
        within("limits.host_queue_share", self.host_queue_share, 1, 1 << 30)?;
        within("limits.max_waiting_requests", self.max_waiting_requests, 1, usize::MAX)?;
        within("limits.max_ack_bytes", self.max_ack_bytes, 1, usize::MAX)?;
        within("limits.max_total_ack_bytes", self.max_total_ack_bytes, 1, usize::MAX)?;
        within("limits.max_packets_per_poll", self.max_packets_per_poll, 1, usize::MAX)
    }
}

fn within(option: &'static str, value: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    let bound = if high == usize::MAX { format!("at least {low}") } else { format!("from {low} to {high}") };
    check((low..=high).contains(&value), option, &bound, value)
}

fn check(valid: bool, option: &'static str, bound: &str, value: impl fmt::Debug) -> Result<(), ConfigError> {
    if valid {
        Ok(())
    } else {
        Err(ConfigError { option, bound: bound.to_owned(), value: format!("{value:?}") })
    }
}

/// An option out of its bounds: the user's mistake, found before anything is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    option: &'static str,
    bound: String,
    value: String,
}

impl ConfigError {
    /// The option's name, dotted where it is nested.
    pub fn option(&self) -> &'static str {
        self.option
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option `{}` must be {}, not {}", self.option, self.bound, self.value)
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_by_name_and_bound() {
        let config = Config { max_http_buffer_size: 0, ..Config::default() };
        let error = config.validate().expect_err("zero is below the bound");
        assert_eq!(error.option(), "max_http_buffer_size");
        assert_eq!(error.to_string(), "option `max_http_buffer_size` must be from 1 to 1073741824, not 0");

        let limits = Limits { host_queue: 1, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.validate().expect_err("1 is below the bound");
        assert_eq!(error.option(), "limits.host_queue");
    }
}
