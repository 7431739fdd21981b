//! The options of a server: one table for all languages.
//!
//! An [`Entry`] says what an option is called in each language, which field of [`Config`] it sets, what it accepts, and
//! what it means. The rest follows from the table: how a binding's values become a [`Config`] ([`read()`]), what an
//! application is told about a bad one ([`OptionError`]), and the documentation ([`document`]).
//!
//! A new option of the core is one entry in `table/`, and its declaration in each package; tests compare them.

use std::time::Duration;

use ferrio::{Config, Cors, Origin};

pub use self::{
    error::{ErrorKind, OptionError, core_error},
    read::read,
    table::entries,
    value::Value,
};

pub mod document;
mod error;
mod forms;
mod read;
mod table;
mod value;

/// A host language, with its spelling and its unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// camelCase and milliseconds, as in socket.io.
    Node,
    /// `snake_case` and seconds, as in python-socketio.
    Python,
}

/// One option.
#[derive(Debug)]
pub struct Entry {
    /// The field of [`Config`], dotted where it is nested; for an option of a binding, a name in the same manner.
    pub name: &'static str,
    spelled: Spelled,
    pub(crate) form: Form,
    /// What it is, in a paragraph without unit, bounds and default: [`document::text`] adds them.
    pub doc: &'static str,
}

/// Which languages have the option, and under which name.
#[derive(Debug)]
pub(crate) enum Spelled {
    /// First in Node.js, then in Python.
    Both(&'static str, &'static str),
    Node(&'static str),
    Python(&'static str),
}

/// The place of a value in the configuration.
type Field<T> = fn(&mut Config) -> &mut T;

/// What an option accepts, and where it goes.
#[derive(Debug)]
pub(crate) enum Form {
    Flag(Field<bool>),
    Text(Field<String>),
    /// A whole number within bounds; `usize::MAX` is none.
    Size {
        field: Field<usize>,
        unit: Unit,
        low: usize,
        high: usize,
    },
    /// A time within bounds, in the language's unit.
    Time {
        field: Field<Duration>,
        low: Duration,
        high: Duration,
    },
    /// Options with names of their own: `limits` has `limits.max_depth`.
    Group,
    /// A group that can be off as a whole, and is by default unless its documentation says otherwise. The function
    /// turns it on, with its defaults, or off.
    Switch(fn(&mut Config, bool)),
    /// Whatever has several forms; the words describe them, and the default.
    Special {
        accepts: &'static str,
        default: &'static str,
        set: fn(&mut Config, &Value) -> Result<(), Fault>,
    },
    /// Not read by itself: a part of a [`Form::Special`], or the binding's own, which is described here and read there.
    Own {
        accepts: &'static str,
        default: &'static str,
    },
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    /// What the option's documentation names.
    Count,
}

/// What is wrong with a value that [`Form::Special`] got.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    /// The part of the value that is wrong, if it has a name, with a dot before it.
    pub(crate) part: String,
    /// What is accepted there; empty for all that the option accepts.
    pub(crate) expected: &'static str,
    pub(crate) given: Value,
}

impl Language {
    /// The configuration where nothing is given.
    pub fn defaults(self) -> Config {
        match self {
            // Patterns and functions for namespaces may be added at any time.
            Self::Node => Config { ask_namespace: true, ..Config::default() },
            Self::Python => Config {
                engine: ferrio_engine::Config { cors: Some(python_cors()), ..Config::default().engine },
                ..Config::default()
            },
        }
    }
}

/// python-socketio's rules: pages of the same host only, for WebSockets too.
fn python_cors() -> Cors {
    Cors {
        origin: Origin::SameHost,
        methods: "OPTIONS, GET, POST".to_owned(),
        credentials: true,
        enforce: true,
        ..Cors::default()
    }
}

impl Entry {
    /// Its name in a language, dotted where it is nested; `None` where the language has no such option.
    pub fn spelling(&self, language: Language) -> Option<&'static str> {
        match (&self.spelled, language) {
            (Spelled::Both(name, _) | Spelled::Node(name), Language::Node)
            | (Spelled::Both(_, name) | Spelled::Python(name), Language::Python) => Some(name),
            _ => None,
        }
    }

    /// Whether [`read()`] looks at it; the others are the binding's own.
    pub fn is_read(&self) -> bool {
        !matches!(self.form, Form::Own { .. })
    }
}

/// What a field of [`Config`] is called in a language; its own name where the language has no option for it.
pub fn spelling(language: Language, name: &str) -> &str {
    entries().filter(|entry| entry.name == name).find_map(|entry| entry.spelling(language)).unwrap_or(name)
}

#[cfg(test)]
mod tests;
