//! Namespaces, and what is kept for clients that come back.

use ferrio::{Config, Recovery};

use crate::options::{
    entry::{
        Entry, Form,
        Spelled::{Both, Node, Python},
        Unit::{Bytes, Count},
        entry, own, size, special, time,
    },
    forms,
};

/// Namespaces, and what is kept for clients that come back.
pub(super) static SOCKETS: &[Entry] = &[
    entry(
        "cleanup_empty_child_namespaces",
        Node("cleanupEmptyChildNamespaces"),
        Form::Flag(|config| &mut config.cleanup_empty_child_namespaces),
        "Whether a dynamic namespace goes away with its last socket.",
    ),
    entry(
        "cleanup_empty_child_namespaces",
        Python("namespaces"),
        special("a name, a list of names, or None", "None", forms::python_namespaces),
        "Which namespaces exist beside those that have handlers: None for `'/'`, `'*'` for all, each of which goes with its last client.",
    ),
    entry(
        "recovery",
        Both("connectionStateRecovery", "connection_state_recovery"),
        Form::Switch(|config, is_on| config.recovery = is_on.then(Recovery::default)),
        "Connection state recovery: a client that comes back in time keeps its id, rooms, data and missed events. \
         Default: off.",
    ),
    entry(
        "recovery.max_disconnection_duration",
        Both(
            "connectionStateRecovery.maxDisconnectionDuration",
            "connection_state_recovery.max_disconnection_duration",
        ),
        time(|config| &mut recovery(config).max_disconnection_duration),
        "How long a session and the events it misses are kept.",
    ),
    entry(
        "recovery.skip_middlewares",
        Python("connection_state_recovery.skip_middlewares"),
        Form::Flag(|config| &mut recovery(config).skip_middlewares),
        "Whether `use` middleware is left out for a client that comes back.",
    ),
    entry(
        "recovery.skip_middlewares",
        Node("connectionStateRecovery.skipMiddlewares"),
        own("true or false", "`true`"),
        "Whether a recovered client passes no middleware.",
    ),
    entry(
        "recovery.max_packets",
        Both("connectionStateRecovery.maxPackets", "connection_state_recovery.max_packets"),
        size(|config| &mut recovery(config).max_packets, Count, 1, usize::MAX),
        "How many events a namespace keeps for replay.",
    ),
    entry(
        "recovery.max_bytes",
        Both("connectionStateRecovery.maxBytes", "connection_state_recovery.max_bytes"),
        size(|config| &mut recovery(config).max_bytes, Bytes, 1, usize::MAX),
        "How much of events a namespace keeps for replay.",
    ),
    entry(
        "recovery.max_sessions",
        Both("connectionStateRecovery.maxSessions", "connection_state_recovery.max_sessions"),
        size(|config| &mut recovery(config).max_sessions, Count, 1, usize::MAX),
        "How many sessions a namespace keeps.",
    ),
];

fn recovery(config: &mut Config) -> &mut Recovery {
    config.recovery.get_or_insert_default()
}
