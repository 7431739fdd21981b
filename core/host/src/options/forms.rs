//! The options that have several forms, most of them one for each language.

use std::time::Duration;

use ferrio::{Config, Cors, Origin, Parser, PerMessageDeflate, SlowReader, Transports, WindowBits};

pub(super) use self::cookie::{node_cookie, python_cookie};
use super::{entry::DAY, fault::Fault, value::Value};

mod cookie;

type Set = Result<(), Fault>;

pub(super) fn node_transports(config: &mut Config, value: &Value) -> Set {
    let Value::List(names) = value else { return Err(Fault::wrong_type(value)) };
    let is_offered = |name: &&Value| name.as_text() != Some("webtransport");
    set_transports(config, names.iter().filter(is_offered))
}

pub(super) fn python_transports(config: &mut Config, value: &Value) -> Set {
    match value {
        Value::Null => Ok(()),
        Value::Text(_) => set_transports(config, std::iter::once(value)),
        Value::List(names) => set_transports(config, names.iter()),
        _ => Err(Fault::wrong_type(value)),
    }
}

fn set_transports<'a>(config: &mut Config, names: impl Iterator<Item = &'a Value>) -> Set {
    let mut transports = Transports { polling: false, websocket: false };
    for name in names {
        match name.as_text() {
            Some("polling") => transports.polling = true,
            Some("websocket") => transports.websocket = true,
            Some(_) => return Err(Fault::wrong_value(name)),
            None => return Err(Fault::wrong_type(name)),
        }
    }
    config.engine.transports = transports;
    Ok(())
}

/// A pair has the interval, and what is added to the timeout, which was read before.
pub(super) fn python_ping_interval(config: &mut Config, value: &Value) -> Set {
    let (interval, grace) = match value {
        Value::List(pair) => match pair.as_slice() {
            [interval, grace] => (interval, Some(grace)),
            _ => return Err(Fault::wrong_type(value)),
        },
        interval => (interval, None),
    };
    config.engine.ping_interval = seconds(interval, Duration::from_millis(1))?;
    if let Some(grace) = grace {
        let grace = seconds(grace, Duration::ZERO)?;
        config.engine.ping_timeout += grace;
        config.engine.ping_grace = grace;
    }
    Ok(())
}

fn seconds(value: &Value, low: Duration) -> Result<Duration, Fault> {
    let seconds = value.as_number().ok_or_else(|| Fault::wrong_type(value))?;
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| (low..=DAY).contains(time));
    time.ok_or_else(|| Fault::wrong_value(value))
}

/// The package finds out which format the application's parser writes.
pub(super) fn node_parser(config: &mut Config, value: &Value) -> Set {
    if value.as_text() == Some("application") {
        config.parser = Parser::Application;
        return Ok(());
    }
    set_parser(config, value, ["json", "msgpack"])
}

pub(super) fn python_serializer(config: &mut Config, value: &Value) -> Set {
    set_parser(config, value, ["default", "msgpack"])
}

fn set_parser(config: &mut Config, value: &Value, [json, msgpack]: [&str; 2]) -> Set {
    config.parser = match value.as_text() {
        Some(name) if name == json => Parser::Json,
        Some(name) if name == msgpack => Parser::Msgpack,
        Some(_) => return Err(Fault::wrong_value(value)),
        None => return Err(Fault::wrong_type(value)),
    };
    Ok(())
}

/// As npm's `cors` reads it. What only JavaScript can follow it is asked about.
pub(super) fn node_origin(config: &mut Config, value: &Value) -> Set {
    let origin = match value {
        Value::Flag(true) => Origin::Reflect,
        Value::Flag(false) | Value::Null => Origin::None,
        Value::Text(any) if any == "*" => Origin::Any,
        Value::Text(origin) => Origin::Fixed(origin.clone()),
        Value::List(origins) => node_origins(origins)?,
        Value::Function => Origin::Ask,
        _ => return Err(Fault::wrong_type(value)),
    };
    cors(config).origin = origin;
    Ok(())
}

fn node_origins(origins: &[Value]) -> Result<Origin, Fault> {
    let is_origin =
        |one: &&Value| matches!(one, Value::Text(_) | Value::Flag(_) | Value::Function | Value::List(_));
    match origins.iter().find(|one| !is_origin(one)) {
        Some(other) => Err(Fault::wrong_type(other)),
        None => Ok(texts(origins).map_or(Origin::Ask, exactly)),
    }
}

/// As python-socketio reads it: nothing means pages of the same host, an empty list that nothing is checked.
pub(super) fn python_origins(config: &mut Config, value: &Value) -> Set {
    let origin = match value {
        Value::Null => Origin::SameHost,
        Value::Function => Origin::Ask,
        Value::Text(any) if any == "*" => Origin::Reflect,
        Value::Text(origin) => exactly(vec![origin.clone()]),
        Value::List(origins) if origins.is_empty() => {
            config.engine.cors = None;
            return Ok(());
        }
        Value::List(origins) => {
            let origins = texts(origins)?;
            if origins.iter().any(|origin| origin == "*") { Origin::Reflect } else { exactly(origins) }
        }
        _ => return Err(Fault::wrong_type(value)),
    };
    cors(config).origin = origin;
    Ok(())
}

fn exactly(origins: Vec<String>) -> Origin {
    Origin::List(origins)
}

pub(super) fn cors_methods(config: &mut Config, value: &Value) -> Set {
    cors(config).methods = match value {
        Value::Text(methods) => methods.clone(),
        Value::List(methods) => texts(methods)?.join(","),
        _ => return Err(Fault::wrong_type(value)),
    };
    Ok(())
}

pub(super) fn cors_allowed_headers(config: &mut Config, value: &Value) -> Set {
    cors(config).allowed_headers = Some(header_names(value)?);
    Ok(())
}

pub(super) fn cors_exposed_headers(config: &mut Config, value: &Value) -> Set {
    cors(config).exposed_headers = header_names(value)?;
    Ok(())
}

fn header_names(value: &Value) -> Result<Vec<String>, Fault> {
    match value {
        Value::Text(names) => Ok(names.split(',').map(|name| name.trim().to_owned()).collect()),
        Value::List(names) => texts(names),
        _ => Err(Fault::wrong_type(value)),
    }
}

pub(super) fn cors_max_age(config: &mut Config, value: &Value) -> Set {
    let Value::Whole(number) = value else { return Err(Fault::wrong_type(value)) };
    cors(config).max_age = Some(u32::try_from(*number).map_err(|_| Fault::wrong_value(value))?);
    Ok(())
}

pub(super) fn cors_success_status(config: &mut Config, value: &Value) -> Set {
    let Value::Whole(number) = value else { return Err(Fault::wrong_type(value)) };
    let status = u16::try_from(*number).ok().filter(|status| (200..600).contains(status));
    cors(config).options_success_status = status.ok_or_else(|| Fault::wrong_value(value))?;
    Ok(())
}

/// What is set now stays, the threshold too, unless this turns it off.
pub(super) fn python_compression(config: &mut Config, value: &Value) -> Set {
    match value {
        Value::Flag(false) | Value::Null | Value::Whole(0) => config.engine.http_compression = None,
        Value::Flag(true) | Value::Whole(_) => {}
        _ => return Err(Fault::wrong_type(value)),
    }
    Ok(())
}

pub(super) fn server_no_context_takeover(config: &mut Config, value: &Value) -> Set {
    let is_wanted = value.as_flag().ok_or_else(|| Fault::wrong_type(value))?;
    deflate(config).server_no_context_takeover = Some(is_wanted);
    Ok(())
}

pub(super) fn server_max_window_bits(config: &mut Config, value: &Value) -> Set {
    deflate(config).server_max_window_bits = window_bits(value)?;
    Ok(())
}

pub(super) fn client_max_window_bits(config: &mut Config, value: &Value) -> Set {
    deflate(config).client_max_window_bits = window_bits(value)?;
    Ok(())
}

/// As npm's `ws` reads it.
fn window_bits(value: &Value) -> Result<WindowBits, Fault> {
    match value {
        Value::Flag(true) => Ok(WindowBits::Offered),
        Value::Flag(false) => Ok(WindowBits::Full),
        Value::Whole(bits) => match u8::try_from(*bits) {
            Ok(bits @ 8..=15) => Ok(WindowBits::Exactly(bits)),
            _ => Err(Fault::wrong_value(value)),
        },
        _ => Err(Fault::wrong_type(value)),
    }
}

pub(super) fn deflate_level(config: &mut Config, value: &Value) -> Set {
    let Value::Whole(level) = value else { return Err(Fault::wrong_type(value)) };
    deflate(config).level = match u8::try_from(*level) {
        Ok(level @ 0..=9) => level,
        _ if *level == -1 => PerMessageDeflate::default().level,
        _ => return Err(Fault::wrong_value(value)),
    };
    Ok(())
}

fn deflate(config: &mut Config) -> &mut PerMessageDeflate {
    config.engine.per_message_deflate.get_or_insert_default()
}

pub(super) fn node_allow_request(config: &mut Config, value: &Value) -> Set {
    config.ask_allow_request = *value == Value::Function;
    if config.ask_allow_request { Ok(()) } else { Err(Fault::wrong_type(value)) }
}

/// The package opens those that are named. One that a client brought into being goes with its last client.
pub(super) fn python_namespaces(config: &mut Config, value: &Value) -> Set {
    match value {
        Value::Null | Value::List(_) => {}
        Value::Text(name) => config.cleanup_empty_child_namespaces = name == "*",
        _ => return Err(Fault::wrong_type(value)),
    }
    Ok(())
}

pub(super) fn outbox_policy(config: &mut Config, value: &Value) -> Set {
    config.engine.outbox.policy = match value.as_text() {
        Some("disconnect") => SlowReader::Disconnect,
        Some("drop-oldest") => SlowReader::DropOldest,
        Some("drop-newest") => SlowReader::DropNewest,
        Some(_) => return Err(Fault::wrong_value(value)),
        None => return Err(Fault::wrong_type(value)),
    };
    Ok(())
}

fn cors(config: &mut Config) -> &mut Cors {
    config.engine.cors.get_or_insert_default()
}

fn texts(values: &[Value]) -> Result<Vec<String>, Fault> {
    let text = |value: &Value| value.as_text().map(str::to_owned).ok_or_else(|| Fault::wrong_type(value));
    values.iter().map(text).collect()
}
