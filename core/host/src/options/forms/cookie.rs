//! The cookie of a handshake: its attributes, as npm's `cookie` and python-engineio know them.

use std::fmt::Write;

use ferrio::{Config, Cookie};

use crate::options::{
    fault::{ErrorKind, Fault},
    value::Value,
};

/// As npm's `cookie` writes it, with engine.io's defaults.
pub(in super::super) fn node_cookie(config: &mut Config, value: &Value) -> Result<(), Fault> {
    config.engine.cookie = match value {
        Value::Flag(false) | Value::Null => None,
        Value::Flag(true) => Some(node_parts(&[])?),
        Value::Map(parts) => Some(node_parts(parts)?),
        _ => return Err(Fault::wrong_type(value)),
    };
    Ok(())
}

fn node_parts(parts: &[(String, Value)]) -> Result<Cookie, Fault> {
    let parts = Parts(parts);
    let path = match parts.get("path") {
        None => "/",
        Some(Value::Flag(false)) => "",
        Some(_) => parts.text("path")?.unwrap_or_default(),
    };
    let mut attributes = Vec::new();
    if let Some(value) = parts.get("maxAge") {
        let seconds =
            value.as_number().ok_or_else(|| Parts::fault("maxAge", "a number of seconds", value))?;
        attributes.push(format!("Max-Age={}", seconds.floor()));
    }
    if let Some(domain) = parts.text("domain")?.filter(|domain| !domain.is_empty()) {
        attributes.push(format!("Domain={domain}"));
    }
    if !path.is_empty() {
        attributes.push(format!("Path={path}"));
    }
    if let Some(value) = parts.get("expires") {
        let date = value.as_text().ok_or_else(|| Parts::fault("expires", "a Date", value))?;
        attributes.push(format!("Expires={date}"));
    }
    if parts.flag("httpOnly")?.unwrap_or(true) {
        attributes.push("HttpOnly".to_owned());
    }
    if parts.flag("secure")?.unwrap_or(false) {
        attributes.push("Secure".to_owned());
    }
    if parts.flag("partitioned")?.unwrap_or(false) {
        attributes.push("Partitioned".to_owned());
    }
    if let Some(priority) = priority(&parts)? {
        attributes.push(format!("Priority={priority}"));
    }
    if let Some(same_site) = same_site(&parts)? {
        attributes.push(format!("SameSite={same_site}"));
    }
    let name = parts.text("name")?.unwrap_or("io").to_owned();
    Ok(Cookie { name, attributes: attributes.join("; ") })
}

fn priority(parts: &Parts<'_>) -> Result<Option<&'static str>, Fault> {
    let Some(value) = parts.get("priority") else { return Ok(None) };
    match value.as_text().map(str::to_ascii_lowercase).as_deref() {
        Some("low") => Ok(Some("Low")),
        Some("medium") => Ok(Some("Medium")),
        Some("high") => Ok(Some("High")),
        _ => Err(Parts::fault("priority", "`low`, `medium` or `high`", value)),
    }
}

fn same_site(parts: &Parts<'_>) -> Result<Option<&'static str>, Fault> {
    let Some(value) = parts.get("sameSite") else { return Ok(Some("Lax")) };
    let lower_case = value.as_text().map(str::to_ascii_lowercase);
    match (value, lower_case.as_deref()) {
        (Value::Flag(false), _) => Ok(None),
        (Value::Flag(true), _) | (_, Some("strict")) => Ok(Some("Strict")),
        (_, Some("lax")) => Ok(Some("Lax")),
        (_, Some("none")) => Ok(Some("None")),
        _ => Err(Parts::fault("sameSite", "`lax`, `strict`, `none`, true or false", value)),
    }
}

/// The parts of a cookie in JavaScript. As elsewhere in npm's `cookie`, null is the same as nothing.
struct Parts<'a>(&'a [(String, Value)]);

impl<'a> Parts<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        Some(value).filter(|value| **value != Value::Null)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        self.get(name)
            .map(|value| value.as_text().ok_or_else(|| Self::fault(name, "text", value)))
            .transpose()
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        let flag = |value: &Value| value.as_flag().ok_or_else(|| Self::fault(name, "true or false", value));
        self.get(name).map(flag).transpose()
    }

    fn fault(name: &str, expected: &'static str, given: &Value) -> Fault {
        Fault { kind: ErrorKind::Type, part: format!(".{name}"), expected, given: given.clone() }
    }
}

/// As python-engineio writes it: attributes are those that are given, in their order.
pub(in super::super) fn python_cookie(config: &mut Config, value: &Value) -> Result<(), Fault> {
    config.engine.cookie = match value {
        Value::Null => None,
        Value::Text(name) => {
            Some(Cookie { name: name.clone(), attributes: "path=/; SameSite=Lax".to_owned() })
        }
        Value::Map(parts) => Some(python_parts(parts)?),
        _ => return Err(Fault::wrong_type(value)),
    };
    Ok(())
}

fn python_parts(parts: &[(String, Value)]) -> Result<Cookie, Fault> {
    let mut cookie = Cookie { attributes: String::new(), ..Cookie::default() };
    for (name, value) in parts {
        let text = match value {
            Value::Text(text) => text.clone(),
            Value::Whole(number) => number.to_string(),
            Value::Number(number) => format!("{number:?}"),
            // `SameSite=None` is a value that browsers know.
            Value::Null => "None".to_owned(),
            Value::Flag(_) if name != "name" => String::new(),
            _ => {
                let expected = if name == "name" { "text" } else { "text, a number, True or False" };
                let kind = ErrorKind::Type;
                return Err(Fault { kind, part: format!(".{name}"), expected, given: value.clone() });
            }
        };
        if name == "name" {
            cookie.name = text;
        } else if *value != Value::Flag(false) {
            let separator = if cookie.attributes.is_empty() { "" } else { "; " };
            let equals = if *value == Value::Flag(true) { "" } else { "=" };
            // Writing to a string does not fail.
            let _ = write!(cookie.attributes, "{separator}{name}{equals}{text}");
        }
    }
    Ok(cookie)
}
