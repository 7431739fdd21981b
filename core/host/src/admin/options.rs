//! What an admin UI is told of a server, and how often.

use std::{ops::RangeInclusive, time::Duration};

/// What an admin UI is told of a server, and how often.
#[derive(Debug, Clone)]
pub struct AdminOptions {
    /// The name of the namespace to which admin clients connect.
    pub namespace: String,
    /// What tells this server from others in the UI.
    pub server_id: String,
    /// The machine's name.
    pub hostname: String,
    /// For how long the server has been running by now.
    pub uptime: Duration,
    /// Whether each socket and event is shown, not only counters: development mode.
    pub shows_all: bool,
    /// Whether commands of the UI are carried out.
    pub takes_commands: bool,
    /// Whether headers that carry secrets are shown as they are.
    pub shows_secrets: bool,
    /// How often the counters are sent.
    pub interval: Duration,
}

/// How often the counters may be sent.
pub const STATS_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
