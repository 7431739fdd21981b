//! What a connection is, and how long things take there.

use std::time::Duration;

use crate::options::{
    entry::{
        Entry, Form,
        Spelled::{Both, Node, Python},
        Unit::Bytes,
        entry, size, special, time,
    },
    forms,
};

/// What a connection is, and how long things take there.
pub(super) static TRANSPORT: &[Entry] = &[
    entry(
        "path",
        Node("path"),
        Form::Text(|config| &mut config.engine.path),
        "The path under which the server answers.",
    ),
    entry(
        "transports",
        Node("transports"),
        special("a list of `polling` and `websocket`", "both", forms::node_transports),
        "The transports that clients may use. `webtransport` may be in the list, but is not offered.",
    ),
    entry(
        "transports",
        Python("transports"),
        special("a list of `polling` and `websocket`, or one of them", "both", forms::python_transports),
        "The transports that clients may use.",
    ),
    entry(
        "allow_upgrades",
        Both("allowUpgrades", "allow_upgrades"),
        Form::Flag(|config| &mut config.engine.allow_upgrades),
        "Whether a client may move from long-polling to WebSocket.",
    ),
    entry(
        "ping_timeout",
        Both("pingTimeout", "ping_timeout"),
        time(|config| &mut config.engine.ping_timeout),
        "How long a client may take to answer a ping.",
    ),
    entry(
        "ping_interval",
        Node("pingInterval"),
        time(|config| &mut config.engine.ping_interval),
        "Time between two pings. A shorter one finds dead clients sooner and costs traffic.",
    ),
    entry(
        "ping_interval",
        Python("ping_interval"),
        special(
            "a number of seconds from 0.001 to 86400, or a pair of it and a number to add to `ping_timeout`",
            "25",
            forms::python_ping_interval,
        ),
        "Time between two pings, in seconds. A shorter one finds dead clients sooner and costs traffic. The second \
         number of a pair is a period of grace, which is added to `ping_timeout`, and to the interval that clients are \
         told.",
    ),
    entry(
        "upgrade_timeout",
        Both("upgradeTimeout", "upgrade_timeout"),
        time(|config| &mut config.engine.upgrade_timeout),
        "How long an upgrade may take.",
    ),
    entry(
        "connect_timeout",
        Both("connectTimeout", "connect_timeout"),
        time(|config| &mut config.connect_timeout),
        "How long a client may stay without joining a namespace.",
    ),
    entry(
        "connect_pause",
        Both("connectPause", "connect_pause"),
        Form::Time {
            field: |config| &mut config.connect_pause,
            low: Duration::ZERO,
            high: Duration::from_secs(1),
        },
        "How long nothing follows a CONNECT packet on a WebSocket, for simple clients that only then listen for the \
         next. It delays the first events of every client.",
    ),
    entry(
        "max_http_buffer_size",
        Node("maxHttpBufferSize"),
        size(|config| &mut config.engine.max_http_buffer_size, Bytes, 1, 1 << 30),
        "The largest incoming message and polling body. A longer body is answered with 413, a longer WebSocket \
         message closes the connection. So does a text that is longer than a string of JavaScript can be (512 MiB).",
    ),
    entry(
        "max_http_buffer_size",
        Python("max_http_buffer_size"),
        size(|config| &mut config.engine.max_http_buffer_size, Bytes, 1, 1 << 30),
        "The largest incoming message and polling body. A longer body is answered with 413, a longer WebSocket \
         message closes the connection.",
    ),
    entry(
        "allow_eio3",
        Both("allowEIO3", "allow_eio3"),
        Form::Flag(|config| &mut config.engine.allow_eio3),
        "Whether clients of Socket.IO 2 are served.",
    ),
    entry(
        "parser",
        Node("parser"),
        special("an object with `Encoder` and `Decoder`", "`socket.io-parser`", forms::node_parser),
        "The form of packets, as the package that writes it: an object with `Encoder` and `Decoder`. The core itself reads \
         and writes those of `socket.io-parser` and `socket.io-msgpack-parser`, which is faster; with another one there is \
         `connectionStateRecovery` by an `adapter` only.",
    ),
    entry(
        "parser",
        Python("serializer"),
        special("`default` or `msgpack`", "`default`", forms::python_serializer),
        "The form of packets: Socket.IO's own text, or that of `socket.io-msgpack-parser`.",
    ),
];
