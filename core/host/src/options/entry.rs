//! An option, as the table has it.

use std::time::Duration;

use ferrio::Config;

use super::{fault::Fault, language::Language, value::Value};

/// A day is long enough for every timer, and short enough for sums of them.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One option.
#[derive(Debug)]
pub struct Entry {
    /// The field of [`Config`], dotted where it is nested; for an option of a binding, a name in the same manner.
    pub name: &'static str,
    spelled: Spelled,
    pub(crate) form: Form,
    /// What it is, in a paragraph without unit, bounds and default:
    /// [`document::text`](super::document::text) adds them.
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

impl Entry {
    /// Its name in a language, dotted where it is nested; `None` where the language has no such option.
    pub fn spelling(&self, language: Language) -> Option<&'static str> {
        match (&self.spelled, language) {
            (Spelled::Both(name, _) | Spelled::Node(name), Language::Node)
            | (Spelled::Both(_, name) | Spelled::Python(name), Language::Python) => Some(name),
            _ => None,
        }
    }

    /// Whether [`read()`](super::read()) looks at it; the others are the binding's own.
    pub fn is_read(&self) -> bool {
        !matches!(self.form, Form::Own { .. })
    }
}

pub(crate) const fn entry(name: &'static str, spelled: Spelled, form: Form, doc: &'static str) -> Entry {
    Entry { name, spelled, form, doc }
}

pub(crate) const fn time(field: fn(&mut Config) -> &mut Duration) -> Form {
    Form::Time { field, low: Duration::from_millis(1), high: DAY }
}

pub(crate) const fn size(field: fn(&mut Config) -> &mut usize, unit: Unit, low: usize, high: usize) -> Form {
    Form::Size { field, unit, low, high }
}

pub(crate) const fn special(
    accepts: &'static str,
    default: &'static str,
    set: fn(&mut Config, &Value) -> Result<(), Fault>,
) -> Form {
    Form::Special { accepts, default, set }
}

pub(crate) const fn own(accepts: &'static str, default: &'static str) -> Form {
    Form::Own { accepts, default }
}
