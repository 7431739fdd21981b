//! The core's options, from the dictionary that the package makes of the application's keywords.
//!
//! Names are the core's, times are seconds. What is absent keeps the core's default; `None` means "off" where an
//! option can be. Errors name the option with its full path.

use std::time::Duration;

use ferrio::{
    Config, Cookie, Cors, Origin, OriginPattern, OutboxLimits, Parser, Recovery, SlowReader, Transports,
};
use pyo3::{
    FromPyObject,
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyString},
};

/// The core's configuration.
pub(crate) fn config(options: &Bound<'_, PyDict>) -> PyResult<Config> {
    let options = Options::new(options, "")?;
    let mut config = Config::default();
    options.set("path", &mut config.engine.path)?;
    if let Some(names) = options.get::<Vec<String>>("transports")? {
        config.engine.transports = transports(&names)?;
    }
    options.set("allow_upgrades", &mut config.engine.allow_upgrades)?;
    options.seconds("ping_interval", &mut config.engine.ping_interval)?;
    options.seconds("ping_timeout", &mut config.engine.ping_timeout)?;
    options.seconds("upgrade_timeout", &mut config.engine.upgrade_timeout)?;
    options.seconds("connect_timeout", &mut config.connect_timeout)?;
    options.seconds("connect_pause", &mut config.connect_pause)?;
    options.set("max_http_buffer_size", &mut config.engine.max_http_buffer_size)?;
    options.set("allow_eio3", &mut config.engine.allow_eio3)?;
    if let Some(name) = options.get::<String>("parser")? {
        config.parser = parser(&name)?;
    }
    if let Some(cors) = options.nested("cors")? {
        config.engine.cors = Some(self::cors(&cors)?);
    }
    if let Some(cookie) = options.nested("cookie")? {
        config.engine.cookie = Some(self::cookie(&cookie)?);
    }
    options.set("http_compression", &mut config.engine.http_compression)?;
    options.set("ask_allow_request", &mut config.ask_allow_request)?;
    options.set("ask_namespace", &mut config.ask_namespace)?;
    options.set("unknown_namespace", &mut config.unknown_namespace)?;
    options.set("cleanup_empty_child_namespaces", &mut config.cleanup_empty_child_namespaces)?;
    if let Some(recovery) = options.nested("connection_state_recovery")? {
        config.recovery = Some(self::recovery(&recovery)?);
    }
    if let Some(limits) = options.nested("limits")? {
        self::limits(&limits, &mut config)?;
    }
    if let Some(outbox) = options.nested("outbox")? {
        self::outbox(&outbox, &mut config.engine.outbox)?;
    }
    options.finish()?;
    Ok(config)
}

fn transports(names: &[String]) -> PyResult<Transports> {
    let mut transports = Transports { polling: false, websocket: false };
    for name in names {
        match name.as_str() {
            "polling" => transports.polling = true,
            "websocket" => transports.websocket = true,
            other => return Err(one_of("transports", "polling, websocket", other)),
        }
    }
    Ok(transports)
}

fn parser(name: &str) -> PyResult<Parser> {
    match name {
        "default" => Ok(Parser::Json),
        "msgpack" => Ok(Parser::Msgpack),
        other => Err(one_of("serializer", "default, msgpack", other)),
    }
}

fn cors(options: &Options<'_>) -> PyResult<Cors> {
    let mut cors = Cors { enforce: true, ..Cors::default() };
    if let Some(rule) = options.get::<String>("rule")? {
        cors.origin = match rule.as_str() {
            "same" => Origin::SameHost,
            "any" => Origin::Reflect,
            "ask" => Origin::Host,
            other => return Err(one_of("cors.rule", "same, any, ask", other)),
        };
    }
    if let Some(origins) = options.get::<Vec<String>>("origins")? {
        cors.origin = Origin::List(origins.into_iter().map(OriginPattern::Exact).collect());
    }
    options.set("methods", &mut cors.methods)?;
    options.set("credentials", &mut cors.credentials)?;
    options.finish()?;
    Ok(cors)
}

fn cookie(options: &Options<'_>) -> PyResult<Cookie> {
    let mut cookie = Cookie::default();
    options.set("name", &mut cookie.name)?;
    options.set("attributes", &mut cookie.attributes)?;
    options.finish()?;
    Ok(cookie)
}

fn recovery(options: &Options<'_>) -> PyResult<Recovery> {
    let mut recovery = Recovery::default();
    options.seconds("max_disconnection_duration", &mut recovery.max_disconnection_duration)?;
    options.set("skip_middlewares", &mut recovery.skip_middlewares)?;
    options.set("max_packets", &mut recovery.max_packets)?;
    options.set("max_bytes", &mut recovery.max_bytes)?;
    options.set("max_sessions", &mut recovery.max_sessions)?;
    options.finish()?;
    Ok(recovery)
}

fn limits(options: &Options<'_>, config: &mut Config) -> PyResult<()> {
    let Config { limits, engine, .. } = config;
    let engine = &mut engine.limits;
    options.set("max_attachments", &mut limits.max_attachments)?;
    options.set("max_depth", &mut limits.max_depth)?;
    options.seconds("attachments_timeout", &mut limits.attachments_timeout)?;
    options.set("max_namespaces_per_connection", &mut limits.max_namespaces_per_connection)?;
    options.set("max_fragments", &mut engine.max_fragments)?;
    options.set("max_header_bytes", &mut engine.max_header_bytes)?;
    options.seconds("header_timeout", &mut engine.header_timeout)?;
    options.set("max_connections", &mut engine.max_connections)?;
    options.set("host_queue", &mut limits.host_queue)?;
    options.set("host_queue_bytes", &mut limits.host_queue_bytes)?;
    options.set("host_queue_share", &mut limits.host_queue_share)?;
    options.set("max_waiting_requests", &mut limits.max_waiting_requests)?;
    options.set("max_ack_bytes", &mut limits.max_ack_bytes)?;
    options.set("max_total_ack_bytes", &mut limits.max_total_ack_bytes)?;
    options.set("max_packets_per_poll", &mut engine.max_packets_per_poll)?;
    options.finish()
}

fn outbox(options: &Options<'_>, outbox: &mut OutboxLimits) -> PyResult<()> {
    options.set("max_bytes", &mut outbox.max_bytes)?;
    if let Some(policy) = options.get::<String>("policy")? {
        outbox.policy = match policy.as_str() {
            "disconnect" => SlowReader::Disconnect,
            "drop-oldest" => SlowReader::DropOldest,
            "drop-newest" => SlowReader::DropNewest,
            other => return Err(one_of("outbox.policy", "disconnect, drop-oldest, drop-newest", other)),
        };
    }
    options.finish()
}

fn one_of(option: &str, values: &str, value: &str) -> PyErr {
    PyValueError::new_err(format!("option `{option}` must be one of {values}, not {value:?}"))
}

/// A dictionary of options, of which each is taken out once; what is left at the end was misspelt.
struct Options<'py> {
    options: Bound<'py, PyDict>,
    path: String,
}

impl<'py> Options<'py> {
    fn new(options: &Bound<'py, PyDict>, path: &str) -> PyResult<Self> {
        Ok(Self { options: options.copy()?, path: path.to_owned() })
    }

    fn get<T: for<'a> FromPyObject<'a, 'py>>(&self, name: &str) -> PyResult<Option<T>> {
        let Some(value) = self.options.get_item(name)? else { return Ok(None) };
        self.options.del_item(name)?;
        let described = value.repr()?;
        let value = value.extract::<T>().map_err(|_| {
            let kind = short_name::<T>();
            PyTypeError::new_err(format!("option `{}{name}` must be {kind}, not {described}", self.path))
        })?;
        Ok(Some(value))
    }

    fn set<T: for<'a> FromPyObject<'a, 'py>>(&self, name: &str, target: &mut T) -> PyResult<()> {
        if let Some(value) = self.get(name)? {
            *target = value;
        }
        Ok(())
    }

    fn seconds(&self, name: &str, target: &mut Duration) -> PyResult<()> {
        if let Some(seconds) = self.get::<f64>(name)? {
            *target = Duration::try_from_secs_f64(seconds).map_err(|_| {
                PyValueError::new_err(format!(
                    "option `{}{name}` must be a number of seconds, not {seconds}",
                    self.path
                ))
            })?;
        }
        Ok(())
    }

    fn nested(&self, name: &str) -> PyResult<Option<Self>> {
        let Some(nested) = self.get::<Option<Bound<'py, PyDict>>>(name)?.flatten() else { return Ok(None) };
        Self::new(&nested, &format!("{}{name}.", self.path)).map(Some)
    }

    fn finish(&self) -> PyResult<()> {
        let Some(name) = self.options.keys().iter().next() else { return Ok(()) };
        let name = name.cast_into::<PyString>()?;
        Err(PyTypeError::new_err(format!("there is no option `{}{name}`", self.path)))
    }
}

/// What Python calls the type that was expected.
fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    match name.rsplit("::").next().unwrap_or(name) {
        "bool" => "True or False",
        "usize" | "Option<usize>" => "a whole number",
        "f64" => "a number",
        "String" => "text",
        name if name.starts_with("Vec") || name.contains("String") => "a list of texts",
        _ => "a dictionary",
    }
}
