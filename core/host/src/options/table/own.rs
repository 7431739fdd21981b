//! The options that only a binding knows what to do with. They are here for their documentation.

use crate::options::entry::{
    Entry,
    Spelled::{Node, Python},
    entry, own,
};

/// Of the npm package.
pub(super) static NODE: &[Entry] = &[
    entry(
        "adapter",
        Node("adapter"),
        own("a class or a function", "the server is alone"),
        "What makes the namespaces' adapters, by which servers of a cluster know of each other: a class or a function, \
         as the packages that adapt to Redis, PostgreSQL and others export it.",
    ),
    entry(
        "own_port",
        Node("ownPort"),
        own("true or false", "`true`"),
        "Whether `new Server(port)` may listen with the core's own HTTP server, which is much faster for \
         long-polling and new connections. It does so while nothing needs Node's: listeners of `httpServer`, \
         `allowRequest`, functions of `engine.use()`, origins by pattern or function.",
    ),
    entry(
        "serve_client",
        Node("serveClient"),
        own("true or false", "`true`"),
        "Whether the files of the browser's client are served.",
    ),
    entry(
        "add_trailing_slash",
        Node("addTrailingSlash"),
        own("true or false", "`true`"),
        "Whether the path ends with a slash.",
    ),
    entry(
        "destroy_upgrade",
        Node("destroyUpgrade"),
        own("true or false", "`true`"),
        "Whether upgrade requests that nobody answers are ended.",
    ),
    entry(
        "destroy_upgrade_timeout",
        Node("destroyUpgradeTimeout"),
        own("a number of milliseconds", "1 000"),
        "Milliseconds before they are.",
    ),
    entry(
        "ws_engine",
        Node("wsEngine"),
        own("anything", "the core's"),
        "Taken for compatibility, with a warning: the core has its own WebSockets.",
    ),
];

/// Of the Python package.
pub(super) static PYTHON: &[Entry] = &[
    entry(
        "client_manager",
        Python("client_manager"),
        own("None", "None"),
        "For python-socketio's sake; there is no manager for several processes yet.",
    ),
    entry(
        "logger",
        Python("logger"),
        own("True, False, or a logger", "`False`"),
        "Whether the server logs, or its logger.",
    ),
    entry(
        "json",
        Python("json"),
        own("None, or a module", "None"),
        "A module with `dumps` and `loads` in place of ferrio's own way, which does what the standard one does.",
    ),
    entry(
        "async_handlers",
        Python("async_handlers"),
        own("True or False", "`True`"),
        "Whether events of one client are handled side by side.",
    ),
    entry(
        "always_connect",
        Python("always_connect"),
        own("True or False", "`False`"),
        "Whether a client is let in before its connect handler is asked.",
    ),
    entry(
        "async_mode",
        Python("async_mode"),
        own("None, or text", "None"),
        "For python-socketio's sake; ferrio runs on asyncio whatever it says.",
    ),
    entry(
        "monitor_clients",
        Python("monitor_clients"),
        own("True or False", "`True`"),
        "For python-socketio's sake; the core always monitors its clients.",
    ),
    entry(
        "engineio_logger",
        Python("engineio_logger"),
        own("True, False, or a logger", "`False`"),
        "For python-socketio's sake.",
    ),
];
