//! A server's options, from the JSON text that `options.ts` makes.

use ferrio::{Config, Parser};
use ferrio_host::options::{self, Language::Node, Value};
use napi::{Env, Result};
use serde_json::Value as Json;

use crate::error::{bad_option, misuse};

/// Reads the options; with `is_engine` those of an Engine.IO server alone.
pub(crate) fn parse(env: Env, text: &str, is_engine: bool) -> Result<Config> {
    let Ok(Value::Map(fields)) = serde_json::from_str(text).map(value) else {
        return Err(misuse("options cannot be read"));
    };
    let mut config = options::read(Node, &fields).map_err(|error| bad_option(env, &error))?;
    if is_engine {
        config.parser = Parser::None;
        config.engine.answers_like_engine_io = true;
    }
    Ok(config)
}

fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Flag(flag),
        Json::Number(number) => match number.as_i128() {
            Some(whole) => Value::Whole(whole),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(values) => Value::List(values.into_iter().map(value).collect()),
        Json::Object(fields) => match fields.get(FOREIGN).and_then(Json::as_str) {
            Some("function") => Value::Function,
            Some(described) => Value::Other(described.to_owned()),
            None => Value::Map(fields.into_iter().map(|(name, json)| (name, value(json))).collect()),
        },
    }
}

/// The one key of an object that stands for what JSON cannot say.
const FOREIGN: &str = "$";
