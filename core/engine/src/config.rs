//! The options of an engine, with their meaning, default and bounds.

use std::{error::Error, fmt, time::Duration};

use ferrio_protocol::engine::SessionConfig;

use crate::cors::Cors;

/// The options of a [`Server`](crate::Server).
///
/// [`Config::default`] is engine.io's default configuration. [`Config::validate`] runs when a server is made: a value
/// out of bounds is refused, never clamped.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path under which the server answers; every path that starts with it belongs to the server.
    ///
    /// Default `/engine.io`. Must start with `/`; a trailing slash is ignored.
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
    /// How much of `ping_timeout` is announced to clients as a part of the interval. Default zero.
    pub ping_grace: Duration,
    /// How long an upgrade may take from its probe to its end. Default 10 s. At least 1 ms, at most one day.
    pub upgrade_timeout: Duration,
    /// The largest incoming message and polling body, in bytes.
    ///
    /// Default 1 000 000. From 1 byte to 2³⁰. A longer POST is answered with 413, a longer WebSocket message
    /// closes the connection with status 1009.
    pub max_http_buffer_size: usize,
    /// Whether clients of Engine.IO 3 are served. Default `false`.
    pub allow_eio3: bool,
    /// Cross-origin rules. Default `None`: no header is sent and no origin is refused.
    pub cors: Option<Cors>,
    /// The cookie set by a handshake, for load balancers that keep a client on one node. Default `None`.
    pub cookie: Option<Cookie>,
    /// Polling bodies of at least this many bytes are compressed when the client accepts it.
    ///
    /// Default `Some(1024)`; `None` switches compression off.
    pub http_compression: Option<usize>,
    /// Compression of WebSocket messages. Default `None`: it costs time, and memory for each client.
    pub per_message_deflate: Option<PerMessageDeflate>,
    /// Whether answers are engine.io's also where others would do better: scripts (JSONP) are plain text, a method that means
    /// nothing is answered with 500 and no word, and a body is compressed though that makes it longer. Default `false`.
    pub answers_like_engine_io: bool,
    /// What a peer may make the server keep or do.
    pub limits: Limits,
    /// What happens to a client that does not read what it is sent.
    pub outbox: OutboxLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/engine.io".to_owned(),
            transports: Transports::default(),
            allow_upgrades: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            ping_grace: Duration::ZERO,
            upgrade_timeout: Duration::from_secs(10),
            max_http_buffer_size: 1_000_000,
            allow_eio3: false,
            cors: None,
            cookie: None,
            http_compression: Some(1024),
            per_message_deflate: None,
            answers_like_engine_io: false,
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

/// Compression of WebSocket messages, as [RFC 7692](https://www.rfc-editor.org/rfc/rfc7692) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerMessageDeflate {
    /// Messages of at least this many bytes are compressed. Default 1024. Shorter ones rarely become shorter still.
    pub threshold: usize,
    /// Whether the server compresses each message by itself, without looking back at earlier ones. `None`, the default:
    /// when the client asks for it. `Some(false)`: an offer that asks for it is declined.
    pub server_no_context_takeover: Option<bool>,
    /// Whether clients have to. Default `false`. It saves the memory for what they look back at.
    pub client_no_context_takeover: bool,
    /// How far back the server looks.
    pub server_max_window_bits: WindowBits,
    /// How far back clients may look.
    pub client_max_window_bits: WindowBits,
    /// How much work is put into compression: from 0, none, to 9. Default 6.
    pub level: u8,
    /// Bytes of earlier messages that are kept for all clients together. Default 256 MiB, which is enough for 8 192 clients
    /// that make full use of it. Beyond, new clients and the server itself compress each message by itself.
    pub max_memory: usize,
}

/// How far back in earlier messages one side looks: at most two to the power of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowBits {
    /// As the client offers.
    #[default]
    Offered,
    /// This many, from 8 to 15. An offer that does not allow it is declined.
    Exactly(u8),
    /// No fewer than 15: an offer that wants the server to look back less is declined.
    Full,
}

impl Default for PerMessageDeflate {
    fn default() -> Self {
        Self {
            threshold: 1024,
            server_no_context_takeover: None,
            client_no_context_takeover: false,
            server_max_window_bits: WindowBits::default(),
            client_max_window_bits: WindowBits::default(),
            level: 6,
            max_memory: 256 << 20,
        }
    }
}

/// Bounds on what one peer, or all of them together, may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Fragments of one WebSocket message. Default 1 024. At least 1.
    pub max_fragments: usize,
    /// Bytes of a request's head on the server's own port. Default 16 KiB. From 8 KiB (hyper's minimum) to 1 MiB.
    pub max_header_bytes: usize,
    /// How long a request's head, or a TLS handshake, may take on the server's own port. Default 10 s.
    pub header_timeout: Duration,
    /// Sessions of the server. Default 1 000 000. A handshake beyond is answered with 503.
    pub max_connections: usize,
    /// Packets in one answer to a poll. Default 16: the official Python client refuses more. At least 1.
    pub max_packets_per_poll: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_fragments: 1024,
            max_header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            max_connections: 1_000_000,
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
        let check = |valid, option, bound: &str, value: &dyn fmt::Debug| {
            ConfigError::check(valid, option, bound, value)
        };
        check(self.path.starts_with('/'), "path", "a path that starts with `/`", &self.path)?;
        check(
            self.transports.polling || self.transports.websocket,
            "transports",
            "at least one of polling and websocket",
            &"none",
        )?;
        ConfigError::duration("ping_interval", self.ping_interval)?;
        ConfigError::duration("ping_timeout", self.ping_timeout)?;
        check(
            self.ping_grace <= self.ping_timeout,
            "ping_grace",
            "at most `ping_timeout`",
            &self.ping_grace,
        )?;
        ConfigError::duration("upgrade_timeout", self.upgrade_timeout)?;
        ConfigError::within("max_http_buffer_size", self.max_http_buffer_size, 1, 1 << 30)?;
        if let Some(cors) = &self.cors {
            cors.validate(|valid, option, bound, value| check(valid, option, bound, &value))?;
        }
        if let Some(cookie) = &self.cookie {
            let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
            let valid = !cookie.name.is_empty() && cookie.name.bytes().all(is_token);
            check(valid, "cookie.name", "a cookie name", &cookie.name)?;
            let valid = cookie.attributes.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            check(valid, "cookie.attributes", "printable ASCII", &cookie.attributes)?;
        }
        if let Some(deflate) = &self.per_message_deflate {
            deflate.validate()?;
        }
        self.limits.validate()?;
        ConfigError::within("outbox.max_bytes", self.outbox.max_bytes, 1024, usize::MAX)
    }

    /// The part of the options that the session machine has to know.
    pub(crate) fn session(&self) -> SessionConfig {
        SessionConfig {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            upgrade_timeout: self.upgrade_timeout,
            allow_upgrades: self.allow_upgrades && self.transports.websocket,
        }
    }
}

impl PerMessageDeflate {
    /// How far back the server looks where the client has no wish.
    pub(crate) fn usual_bits(&self) -> u8 {
        match self.server_max_window_bits {
            WindowBits::Exactly(bits) => bits,
            WindowBits::Offered | WindowBits::Full => 15,
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let within = ConfigError::within;
        for (option, bits) in [
            ("per_message_deflate.server_max_window_bits", self.server_max_window_bits),
            ("per_message_deflate.client_max_window_bits", self.client_max_window_bits),
        ] {
            if let WindowBits::Exactly(bits) = bits {
                within(option, bits.into(), 8, 15)?;
            }
        }
        within("per_message_deflate.level", self.level.into(), 0, 9)
    }
}

impl Limits {
    fn validate(&self) -> Result<(), ConfigError> {
        let within = ConfigError::within;
        within("limits.max_fragments", self.max_fragments, 1, usize::MAX)?;
        within("limits.max_header_bytes", self.max_header_bytes, 8 << 10, 1 << 20)?;
        ConfigError::duration("limits.header_timeout", self.header_timeout)?;
        within("limits.max_connections", self.max_connections, 1, usize::MAX)?;
        within("limits.max_packets_per_poll", self.max_packets_per_poll, 1, usize::MAX)
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
    /// Checks an option whose bound is told in words.
    ///
    /// # Errors
    /// When it is not `valid`.
    pub fn check(valid: bool, option: &'static str, bound: &str, value: impl fmt::Debug) -> Result<(), Self> {
        if valid {
            return Ok(());
        }
        Err(Self { option, bound: bound.to_owned(), value: format!("{value:?}") })
    }

    /// Checks a number; `high` may be [`usize::MAX`], for no upper bound.
    ///
    /// # Errors
    /// When it is out of the bounds.
    pub fn within(option: &'static str, value: usize, low: usize, high: usize) -> Result<(), Self> {
        let bound =
            if high == usize::MAX { format!("at least {low}") } else { format!("from {low} to {high}") };
        Self::check((low..=high).contains(&value), option, &bound, value)
    }

    /// Checks a time, which has to be between a millisecond and a day.
    ///
    /// # Errors
    /// When it is not.
    pub fn duration(option: &'static str, value: Duration) -> Result<(), Self> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let valid = (Duration::from_millis(1)..=DAY).contains(&value);
        Self::check(valid, option, "from 1 ms to 24 h", value)
    }

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
    }
}
