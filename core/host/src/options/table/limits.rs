//! The options that bound what clients can make the server keep or do.

use crate::options::{
    entry::{
        Entry, Form,
        Spelled::Both,
        Unit::{Bytes, Count},
        entry, size, special, time,
    },
    forms,
};

/// What one client, or all of them together, may ask for.
pub(super) static LIMITS: &[Entry] = &[
    entry(
        "limits",
        Both("limits", "limits"),
        Form::Group,
        "Bounds on what one client, or all of them together, may ask for.",
    ),
    entry(
        "limits.max_attachments",
        Both("limits.maxAttachments", "limits.max_attachments"),
        size(|config| &mut config.limits.max_attachments, Count, 0, 1000),
        "Binary values in one packet.",
    ),
    entry(
        "limits.max_depth",
        Both("limits.maxDepth", "limits.max_depth"),
        size(|config| &mut config.limits.max_depth, Count, 1, 100_000),
        "Nesting of lists and objects in a packet.",
    ),
    entry(
        "limits.attachments_timeout",
        Both("limits.attachmentsTimeout", "limits.attachments_timeout"),
        time(|config| &mut config.limits.attachments_timeout),
        "How long the binary values of one packet may take to arrive.",
    ),
    entry(
        "limits.max_namespaces_per_connection",
        Both("limits.maxNamespacesPerConnection", "limits.max_namespaces_per_connection"),
        size(|config| &mut config.limits.max_namespaces_per_connection, Count, 1, usize::MAX),
        "Namespaces one connection may be in.",
    ),
    entry(
        "limits.max_fragments",
        Both("limits.maxFragments", "limits.max_fragments"),
        size(|config| &mut config.engine.limits.max_fragments, Count, 1, usize::MAX),
        "Fragments of one WebSocket message.",
    ),
    entry(
        "limits.max_header_bytes",
        Both("limits.maxHeaderBytes", "limits.max_header_bytes"),
        size(|config| &mut config.engine.limits.max_header_bytes, Bytes, 8 << 10, 1 << 20),
        "Length of a request's head on the server's own port.",
    ),
    entry(
        "limits.header_timeout",
        Both("limits.headerTimeout", "limits.header_timeout"),
        time(|config| &mut config.engine.limits.header_timeout),
        "How long a request's head, or a TLS handshake, may take on the server's own port.",
    ),
    entry(
        "limits.max_connections",
        Both("limits.maxConnections", "limits.max_connections"),
        size(|config| &mut config.engine.limits.max_connections, Count, 1, usize::MAX),
        "Connections of the server. A handshake beyond is answered with 503.",
    ),
    entry(
        "limits.host_queue",
        Both("limits.hostQueue", "limits.host_queue"),
        size(|config| &mut config.limits.host_queue, Count, 16, 1 << 30),
        "Events that wait for the application. Beyond it messages wait with their clients, which take turns, and \
         handshakes wait; nothing is dropped.",
    ),
    entry(
        "limits.host_queue_bytes",
        Both("limits.hostQueueBytes", "limits.host_queue_bytes"),
        size(|config| &mut config.limits.host_queue_bytes, Bytes, 1, usize::MAX),
        "Length of the events that wait for the application, with the same effect.",
    ),
    entry(
        "limits.host_queue_share",
        Both("limits.hostQueueShare", "limits.host_queue_share"),
        size(|config| &mut config.limits.host_queue_share, Count, 1, 1 << 30),
        "Events of one client that wait for the application or that it is at work on. Beyond it no more are taken \
         from this client. A long one counts as several: one for each 4 KiB by default. While the client is asked \
         for an answer, half of the whole queue may be under way.",
    ),
    entry(
        "limits.max_waiting_requests",
        Both("limits.maxWaitingRequests", "limits.max_waiting_requests"),
        size(|config| &mut config.limits.max_waiting_requests, Count, 1, usize::MAX),
        "Handshakes, and requests whose origin the application is asked about, that wait for the application. Those \
         beyond are answered with 503.",
    ),
    entry(
        "limits.max_ack_bytes",
        Both("limits.maxAckBytes", "limits.max_ack_bytes"),
        size(|config| &mut config.limits.max_ack_bytes, Bytes, 1, usize::MAX),
        "Length of the answers that one emit to many clients gathers. Beyond it, it fails with those it has.",
    ),
    entry(
        "limits.max_total_ack_bytes",
        Both("limits.maxTotalAckBytes", "limits.max_total_ack_bytes"),
        size(|config| &mut config.limits.max_total_ack_bytes, Bytes, 1, usize::MAX),
        "The same of all such emits together.",
    ),
    entry(
        "limits.max_packets_per_poll",
        Both("limits.maxPacketsPerPoll", "limits.max_packets_per_poll"),
        size(|config| &mut config.engine.limits.max_packets_per_poll, Count, 1, usize::MAX),
        "Packets in one answer to a poll. python-socketio's client takes no more than 16.",
    ),
];

/// What happens to clients that do not read.
pub(super) static OUTBOX: &[Entry] = &[
    entry(
        "outbox",
        Both("outbox", "outbox"),
        Form::Group,
        "What happens to a client that does not read what it is sent.",
    ),
    entry(
        "outbox.max_bytes",
        Both("outbox.maxBytes", "outbox.max_bytes"),
        size(|config| &mut config.engine.outbox.max_bytes, Bytes, 1024, usize::MAX),
        "How much may wait for one client.",
    ),
    entry(
        "outbox.policy",
        Both("outbox.policy", "outbox.policy"),
        special("`disconnect`, `drop-oldest` or `drop-newest`", "`disconnect`", forms::outbox_policy),
        "What happens beyond: the client is disconnected, or its oldest or newest events are dropped.",
    ),
];
