//! A server's options, from the JSON text that `options.ts` makes.
//!
//! Missing means the default; anything else, `null` too, has to be of the right kind. The core checks the bounds.

use std::time::Duration;

use ferrio::{
    Config, Cookie, Cors, Limits, Origin, OriginPattern, OutboxLimits, Parser, Recovery, SlowReader,
    Transports,
};
use napi::Result;
use serde_json::{Map, Value};

use crate::error::{misuse, wrong_type};

/// Reads the options.
pub(crate) fn parse(text: &str) -> Result<Config> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return Err(misuse("options are no object"));
    };
    let options = Options { fields: &fields, prefix: "" };
    let default = Config::default();
    let limits =
        options.nested("limits")?.map(|limits| parse_limits(&limits)).transpose()?.unwrap_or_default();
    let engine = ferrio_engine::Config {
        path: options.text("path")?.unwrap_or(default.engine.path),
        transports: transports(&options)?,
        allow_upgrades: options.flag("allowUpgrades")?.unwrap_or(default.engine.allow_upgrades),
        ping_interval: options.duration("pingInterval")?.unwrap_or(default.engine.ping_interval),
        ping_timeout: options.duration("pingTimeout")?.unwrap_or(default.engine.ping_timeout),
        upgrade_timeout: options.duration("upgradeTimeout")?.unwrap_or(default.engine.upgrade_timeout),
        max_http_buffer_size: options
            .size("maxHttpBufferSize")?
            .unwrap_or(default.engine.max_http_buffer_size),
        allow_eio3: options.flag("allowEIO3")?.unwrap_or(default.engine.allow_eio3),
        cors: options.nested("cors")?.map(|cors| parse_cors(&cors)).transpose()?,
        cookie: options.nested("cookie")?.map(|cookie| parse_cookie(&cookie)).transpose()?,
        http_compression: match options.fields.get("httpCompression") {
            Some(Value::Bool(false)) => None,
            _ => options.size("httpCompression")?.or(default.engine.http_compression),
        },
        limits: limits.engine,
        outbox: options
            .nested("outbox")?
            .map(|outbox| parse_outbox(&outbox))
            .transpose()?
            .unwrap_or_default(),
        ..default.engine
    };
    Ok(Config {
        engine,
        connect_timeout: options.duration("connectTimeout")?.unwrap_or(default.connect_timeout),
        connect_pause: options.duration("connectPause")?.unwrap_or(default.connect_pause),
        parser: match options.text("parser")?.as_deref() {
            Some("msgpack") => Parser::Msgpack,
            _ => Parser::Json,
        },
        ask_allow_request: options.flag("askAllowRequest")?.unwrap_or_default(),
        // Patterns and functions may be added at any time.
        ask_namespace: true,
        cleanup_empty_child_namespaces: options.flag("cleanupEmptyChildNamespaces")?.unwrap_or_default(),
        recovery: options
            .nested("connectionStateRecovery")?
            .map(|recovery| parse_recovery(&recovery))
            .transpose()?,
        limits: limits.own,
        ..Config::default()
    })
}

fn transports(options: &Options<'_>) -> Result<Transports> {
    let Some(names) = options.texts("transports")? else { return Ok(Transports::default()) };
    if let Some(unknown) = names.iter().find(|name| !["polling", "websocket"].contains(&name.as_str())) {
        return Err(wrong_type(
            "transports",
            "a list of `polling` and `websocket`",
            &Value::from(unknown.as_str()),
        ));
    }
    let has = |transport: &str| names.iter().any(|name| name == transport);
    Ok(Transports { polling: has("polling"), websocket: has("websocket") })
}

fn parse_cors(options: &Options<'_>) -> Result<Cors> {
    let default = Cors::default();
    let origin = match options.text("rule")?.as_deref() {
        Some("reflect") => Origin::Reflect,
        Some("none") => Origin::None,
        Some("host") => Origin::Host,
        Some("fixed") => Origin::Fixed(options.text("origin")?.unwrap_or_default()),
        Some("list") => {
            let origins = options.texts("origin")?.unwrap_or_default();
            Origin::List(origins.into_iter().map(OriginPattern::Exact).collect())
        }
        _ => Origin::Any,
    };
    Ok(Cors {
        origin,
        methods: options.text("methods")?.unwrap_or(default.methods),
        allowed_headers: options.texts("allowedHeaders")?,
        exposed_headers: options.texts("exposedHeaders")?.unwrap_or_default(),
        credentials: options.flag("credentials")?.unwrap_or_default(),
        max_age: options.number("maxAge")?,
        options_success_status: options
            .number("optionsSuccessStatus")?
            .unwrap_or(default.options_success_status),
        preflight_continue: options.flag("preflightContinue")?.unwrap_or_default(),
        ..default
    })
}

fn parse_cookie(options: &Options<'_>) -> Result<Cookie> {
    let default = Cookie::default();
    Ok(Cookie {
        name: options.text("name")?.unwrap_or(default.name),
        attributes: options.text("attributes")?.unwrap_or(default.attributes),
    })
}

fn parse_recovery(options: &Options<'_>) -> Result<Recovery> {
    let default = Recovery::default();
    Ok(Recovery {
        max_disconnection_duration: options
            .duration("maxDisconnectionDuration")?
            .unwrap_or(default.max_disconnection_duration),
        max_packets: options.size("maxPackets")?.unwrap_or(default.max_packets),
        max_bytes: options.size("maxBytes")?.unwrap_or(default.max_bytes),
        max_sessions: options.size("maxSessions")?.unwrap_or(default.max_sessions),
        ..default
    })
}

/// Bounds of both floors.
#[derive(Default)]
struct BothLimits {
    own: Limits,
    engine: ferrio_engine::Limits,
}

fn parse_limits(options: &Options<'_>) -> Result<BothLimits> {
    let default = Limits::default();
    let of_engine = ferrio_engine::Limits::default();
    let size = |name, default| Ok::<_, napi::Error>(options.size(name)?.unwrap_or(default));
    let duration = |name, default| Ok::<_, napi::Error>(options.duration(name)?.unwrap_or(default));
    let engine = ferrio_engine::Limits {
        max_fragments: size("maxFragments", of_engine.max_fragments)?,
        max_header_bytes: size("maxHeaderBytes", of_engine.max_header_bytes)?,
        header_timeout: duration("headerTimeout", of_engine.header_timeout)?,
        max_connections: size("maxConnections", of_engine.max_connections)?,
        max_packets_per_poll: size("maxPacketsPerPoll", of_engine.max_packets_per_poll)?,
    };
    let own = Limits {
        max_attachments: size("maxAttachments", default.max_attachments)?,
        max_depth: size("maxDepth", default.max_depth)?,
        attachments_timeout: duration("attachmentsTimeout", default.attachments_timeout)?,
        max_namespaces_per_connection: size(
            "maxNamespacesPerConnection",
            default.max_namespaces_per_connection,
        )?,
        host_queue: size("hostQueue", default.host_queue)?,
        host_queue_bytes: size("hostQueueBytes", default.host_queue_bytes)?,
        host_queue_share: size("hostQueueShare", default.host_queue_share)?,
        max_waiting_requests: size("maxWaitingRequests", default.max_waiting_requests)?,
        max_ack_bytes: size("maxAckBytes", default.max_ack_bytes)?,
        max_total_ack_bytes: size("maxTotalAckBytes", default.max_total_ack_bytes)?,
    };
    Ok(BothLimits { own, engine })
}

fn parse_outbox(options: &Options<'_>) -> Result<OutboxLimits> {
    let default = OutboxLimits::default();
    let policy = match options.text("policy")?.as_deref() {
        None | Some("disconnect") => SlowReader::Disconnect,
        Some("drop-oldest") => SlowReader::DropOldest,
        Some("drop-newest") => SlowReader::DropNewest,
        Some(unknown) => {
            let expected = "`disconnect`, `drop-oldest` or `drop-newest`";
            return Err(wrong_type("outbox.policy", expected, &Value::from(unknown)));
        }
    };
    Ok(OutboxLimits { max_bytes: options.size("maxBytes")?.unwrap_or(default.max_bytes), policy })
}

/// One level of options, with its place in the whole for messages.
struct Options<'a> {
    fields: &'a Map<String, Value>,
    prefix: &'a str,
}

impl<'a> Options<'a> {
    fn read<T>(
        &self,
        name: &'a str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.fields.get(name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None if self.prefix.is_empty() => Err(wrong_type(name, expected, value)),
            None => Err(wrong_type(&format!("{}.{name}", self.prefix), expected, value)),
        }
    }

    fn flag(&self, name: &'a str) -> Result<Option<bool>> {
        self.read(name, "true or false", Value::as_bool)
    }

    fn text(&self, name: &'a str) -> Result<Option<String>> {
        self.read(name, "text", |value| value.as_str().map(str::to_owned))
    }

    fn texts(&self, name: &'a str) -> Result<Option<Vec<String>>> {
        self.read(name, "a list of texts", |value| {
            value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        })
    }

    fn size(&self, name: &'a str) -> Result<Option<usize>> {
        self.read(name, "a whole number", |value| usize::try_from(whole(value)?).ok())
    }

    fn number<T: TryFrom<u64>>(&self, name: &'a str) -> Result<Option<T>> {
        self.read(name, "a whole number", |value| T::try_from(whole(value)?).ok())
    }

    fn duration(&self, name: &'a str) -> Result<Option<Duration>> {
        self.read(name, "a number of milliseconds", |value| {
            Duration::try_from_secs_f64(value.as_f64()? / 1000.0).ok()
        })
    }

    fn nested(&self, name: &'a str) -> Result<Option<Options<'a>>> {
        let fields = self.read(name, "an object", Value::as_object)?;
        Ok(fields.map(|fields| Options { fields, prefix: name }))
    }
}

/// JavaScript has one kind of number: `1e6` is whole, however it is written.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole and positive"
        )]
        (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
    })
}
