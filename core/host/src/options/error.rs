//! What an application is told about a bad option: its name, what is accepted, and what was given.

use std::{error::Error, fmt};

use ferrio::ConfigError;

use super::{fault::ErrorKind, language::Language, table::spelling};

/// A bad option: the application's mistake, found before anything is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    kind: ErrorKind,
    message: String,
}

impl OptionError {
    pub(crate) fn bad(kind: ErrorKind, option: &str, expected: &str, given: &str) -> Self {
        Self { kind, message: format!("option `{option}` must be {expected}, not {given}") }
    }

    pub(crate) fn unknown(option: &str) -> Self {
        Self { kind: ErrorKind::Unknown, message: format!("there is no option `{option}`") }
    }

    /// What kind of mistake it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for OptionError {}

/// An error of the core, with the option's name in a language.
pub fn core_error(language: Language, error: &ConfigError) -> OptionError {
    let name = spelling(language, error.option());
    OptionError { kind: ErrorKind::Value, message: error.to_string().replacen(error.option(), name, 1) }
}
