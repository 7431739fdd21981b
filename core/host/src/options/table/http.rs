//! What HTTP requests are answered with.

use ferrio::{Config, Cors};

use crate::options::{
    entry::{
        Entry, Form,
        Spelled::{Node, Python},
        Unit::Bytes,
        entry, own, size, special,
    },
    forms,
};

/// What HTTP requests are answered with.
pub(super) static HTTP: &[Entry] = &[
    entry(
        "cors",
        Node("cors"),
        Form::Switch(|config, is_on| config.engine.cors = is_on.then(Cors::default)),
        "Cross-origin rules, as npm's package `cors` takes them.",
    ),
    entry(
        "cors.origin",
        Node("cors.origin"),
        special(
            "true, false, an origin, a pattern, a list of them, or a function",
            "`*`",
            forms::node_origin,
        ),
        "Whose pages may read answers: an origin, a pattern, a list of them, `*` or `true` for all, `false` for \
         none, or a function that decides.",
    ),
    entry(
        "cors.methods",
        Node("cors.methods"),
        special("text, or a list of texts", "`GET,HEAD,PUT,PATCH,POST,DELETE`", forms::cors_methods),
        "The methods that a page may use.",
    ),
    entry(
        "cors.allowed_headers",
        Node("cors.allowedHeaders"),
        special("text, or a list of texts", "those that it asks for", forms::cors_allowed_headers),
        "The request headers that a page may set.",
    ),
    entry(
        "cors.exposed_headers",
        Node("cors.exposedHeaders"),
        special("text, or a list of texts", "none", forms::cors_exposed_headers),
        "The response headers that a page may read.",
    ),
    entry(
        "cors.credentials",
        Node("cors.credentials"),
        Form::Flag(|config| &mut cors(config).credentials),
        "Whether a page may send cookies.",
    ),
    entry(
        "cors.max_age",
        Node("cors.maxAge"),
        special("a whole number of seconds from 0 to 4294967295", "not said", forms::cors_max_age),
        "For how many seconds a browser may keep the answer to a preflight.",
    ),
    entry(
        "cors.preflight_continue",
        Node("cors.preflightContinue"),
        Form::Flag(|config| &mut cors(config).preflight_continue),
        "Whether a preflight is handled like any other request.",
    ),
    entry(
        "cors.options_success_status",
        Node("cors.optionsSuccessStatus"),
        special("a whole number from 200 to 599", "204", forms::cors_success_status),
        "The status that answers a preflight. Some old browsers want 200.",
    ),
    entry(
        "cors.credentials",
        Python("cors_credentials"),
        Form::Flag(|config| &mut cors(config).credentials),
        "Whether pages may send cookies.",
    ),
    // After the rules that it can switch off.
    entry(
        "cors.origin",
        Python("cors_allowed_origins"),
        special("None, an origin, a list of origins, or a function", "None", forms::python_origins),
        "Who may connect from a page: None for pages of the same host, `'*'`, one origin, a list of them, or a \
         function of the origin and the environment; `[]` switches the rules off.",
    ),
    entry(
        "cookie",
        Node("cookie"),
        special("true, false, or an object", "`false`", forms::node_cookie),
        "The cookie with the session's id that a handshake sets, with the attributes of npm's package `cookie`; \
         `true` for their defaults.",
    ),
    entry("cookie.name", Node("cookie.name"), own("text", "`io`"), "The cookie's name."),
    entry("cookie.path", Node("cookie.path"), own("text, or false", "`/`"), "Its path."),
    entry(
        "cookie.http_only",
        Node("cookie.httpOnly"),
        own("true or false", "`true`"),
        "Whether scripts of a page cannot read it.",
    ),
    entry(
        "cookie.same_site",
        Node("cookie.sameSite"),
        own("`lax`, `strict`, `none`, true or false", "`lax`"),
        "Whether requests from other sites carry it.",
    ),
    entry(
        "cookie.secure",
        Node("cookie.secure"),
        own("true or false", "`false`"),
        "Whether it is sent over TLS only.",
    ),
    entry("cookie.domain", Node("cookie.domain"), own("text", "the server's own"), "Its domain."),
    entry(
        "cookie.max_age",
        Node("cookie.maxAge"),
        own("a number of seconds", "the browser's session"),
        "How many seconds a browser keeps it.",
    ),
    entry(
        "cookie.expires",
        Node("cookie.expires"),
        own("a Date", "the browser's session"),
        "Until when a browser keeps it.",
    ),
    entry(
        "cookie.partitioned",
        Node("cookie.partitioned"),
        own("true or false", "`false`"),
        "Whether a page in a frame has one of its own for each site around it.",
    ),
    entry(
        "cookie.priority",
        Node("cookie.priority"),
        own("`low`, `medium` or `high`", "the browser's own"),
        "How early a browser that has too many drops it.",
    ),
    entry(
        "cookie",
        Python("cookie"),
        special("None, text, or a dictionary", "None", forms::python_cookie),
        "Name of a cookie with the session's id, with path `/` and same site `Lax`; or a dictionary of its name \
         (`name`, by default `io`) and attributes: texts, True, or functions that return one.",
    ),
    entry(
        "http_compression",
        Node("httpCompression"),
        Form::Switch(|config, is_on| {
            config.engine.http_compression = Config::default().engine.http_compression.filter(|_| is_on);
        }),
        "Whether polling bodies are compressed when the client accepts it. Default: with the following threshold.",
    ),
    entry(
        "http_compression.threshold",
        Node("httpCompression.threshold"),
        size(threshold, Bytes, 0, usize::MAX),
        "From which length on.",
    ),
    entry(
        "http_compression.threshold",
        Python("compression_threshold"),
        size(threshold, Bytes, 0, usize::MAX),
        "From which length on polling bodies are compressed.",
    ),
    // After the threshold, which turns it on.
    entry(
        "http_compression",
        Python("http_compression"),
        special("True or False", "`True`", forms::python_compression),
        "Whether polling bodies are compressed when the client accepts it.",
    ),
    entry(
        "ask_allow_request",
        Node("allowRequest"),
        special("a function", "every request may", forms::node_allow_request),
        "Decides whether a request may open a connection.",
    ),
];
fn cors(config: &mut Config) -> &mut Cors {
    config.engine.cors.get_or_insert_default()
}

fn threshold(config: &mut Config) -> &mut usize {
    config.engine.http_compression.get_or_insert_default()
}
