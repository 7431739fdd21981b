//! The application's values, into the configuration.

use std::time::Duration;

use ferrio::Config;

use super::{
    document::{describe_form, units_per_second},
    entry::{Entry, Form},
    error::{OptionError, core_error},
    fault::{ErrorKind, Fault},
    language::Language,
    table::entries,
    value::Value,
};

/// Makes the configuration that an application asked for. What it did not give keeps the language's default.
///
/// # Errors
/// `given` has something of the wrong type or out of bounds, or names an option that does not exist.
pub fn read(language: Language, given: &[(String, Value)]) -> Result<Config, OptionError> {
    let mut config = language.defaults();
    read_level(&mut config, language, "", given)?;
    config.validate().map_err(|error| core_error(language, &error))?;
    Ok(config)
}

/// Reads the options whose names start with `prefix`, in the table's order: some build on what others have set.
fn read_level(
    config: &mut Config,
    language: Language,
    prefix: &str,
    given: &[(String, Value)],
) -> Result<(), OptionError> {
    let known = || entries().filter_map(|entry| Some((entry, own_name(entry, language, prefix)?)));
    for (entry, name) in known() {
        if let Some((_, value)) = given.iter().find(|(given, _)| given == name) {
            set(config, language, entry, &format!("{prefix}{name}"), value)?;
        }
    }
    let is_unknown = |given: &&(String, Value)| known().all(|(_, name)| name != given.0);
    match given.iter().find(is_unknown) {
        Some((name, _)) if refuses_unknown(language, prefix) => {
            Err(OptionError::unknown(&format!("{prefix}{name}")))
        }
        _ => Ok(()),
    }
}

/// What stands behind the prefix, if that is the name of an option and not of one within it.
fn own_name(entry: &Entry, language: Language, prefix: &str) -> Option<&'static str> {
    entry.spelling(language)?.strip_prefix(prefix).filter(|name| !name.contains('.'))
}

/// socket.io passes over options that it does not know, and applications have some. Those in ferrio's own groups are
/// spelling mistakes.
fn refuses_unknown(language: Language, prefix: &str) -> bool {
    language == Language::Python || matches!(prefix, "limits." | "outbox.")
}

fn set(
    config: &mut Config,
    language: Language,
    entry: &Entry,
    name: &str,
    value: &Value,
) -> Result<(), OptionError> {
    let error = |kind| {
        let expected = describe_form(&entry.form, language);
        OptionError::bad(kind, name, &expected, &value.describe(language))
    };
    match (&entry.form, value) {
        (Form::Group, Value::Map(fields)) => read_level(config, language, &format!("{name}."), fields),
        (Form::Switch(turn), Value::Map(fields)) => {
            turn(config, true);
            read_level(config, language, &format!("{name}."), fields)
        }
        (Form::Special { accepts, set, .. }, _) => {
            set(config, value).map_err(|Fault { kind, part, expected, given }| {
                let expected = if expected.is_empty() { accepts } else { expected };
                OptionError::bad(kind, &format!("{name}{part}"), expected, &given.describe(language))
            })
        }
        (form, value) => set_plain(config, language, form, value).map_err(error),
    }
}

/// Sets what is one value, or is turned on or off by one.
fn set_plain(config: &mut Config, language: Language, form: &Form, value: &Value) -> Result<(), ErrorKind> {
    match form {
        Form::Flag(field) => *field(config) = value.as_flag().ok_or(ErrorKind::Type)?,
        Form::Text(field) => value.as_text().ok_or(ErrorKind::Type)?.clone_into(field(config)),
        Form::Size { field, low, high, .. } => {
            let Value::Whole(number) = *value else { return Err(ErrorKind::Type) };
            let size = usize::try_from(number).ok().filter(|size| (low..=high).contains(&size));
            *field(config) = size.ok_or(ErrorKind::Value)?;
        }
        Form::Time { field, low, high } => {
            let number = value.as_number().ok_or(ErrorKind::Type)?;
            let time = Duration::try_from_secs_f64(number / units_per_second(language)).ok();
            *field(config) = time.filter(|time| (low..=high).contains(&time)).ok_or(ErrorKind::Value)?;
        }
        Form::Switch(turn) => match value {
            Value::Flag(is_on) => turn(config, *is_on),
            Value::Null => turn(config, false),
            _ => return Err(ErrorKind::Type),
        },
        Form::Group if *value != Value::Null => return Err(ErrorKind::Type),
        Form::Group | Form::Special { .. } | Form::Own { .. } => {}
    }
    Ok(())
}
