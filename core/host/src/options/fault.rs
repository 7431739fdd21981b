//! What is wrong with a value.

use super::value::Value;

/// What kind of mistake it is. Languages have different exceptions for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The value is of the wrong type.
    Type,
    /// The type is right, but the value is out of bounds, or a word that the option does not know.
    Value,
    /// There is no such option.
    Unknown,
}

/// What is wrong with a value that [`Form::Special`](super::entry::Form::Special) got.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    /// The part of the value that is wrong, if it has a name, with a dot before it.
    pub(crate) part: String,
    /// What is accepted there; empty for all that the option accepts.
    pub(crate) expected: &'static str,
    pub(crate) given: Value,
}

impl Fault {
    /// The whole value is of the wrong type.
    pub(crate) fn wrong_type(given: &Value) -> Self {
        Self { kind: ErrorKind::Type, part: String::new(), expected: "", given: given.clone() }
    }

    /// The whole value, or one of a list, is not among what is accepted.
    pub(crate) fn wrong_value(given: &Value) -> Self {
        Self { kind: ErrorKind::Value, ..Self::wrong_type(given) }
    }
}
