//! A value of the application, in a form that every language has.

use super::language::Language;

/// What an application gave for an option.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// JavaScript's `null`, Python's `None`. An option that is not given at all has no value.
    Null,
    /// A boolean.
    Flag(bool),
    /// A whole number. JavaScript has one kind of number, so there `1e6` is whole.
    Whole(i128),
    /// Any other number.
    Number(f64),
    /// Well-formed text.
    Text(String),
    /// A list, or what serves as one.
    List(Vec<Value>),
    /// Names and their values.
    Map(Vec<(String, Value)>),
    /// What only the application's language can evaluate: a function, or a regular expression of JavaScript.
    Function,
    /// Anything else, as its language would print it.
    Other(String),
}

impl Value {
    pub(crate) fn as_flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a time of so many seconds is beyond every bound")]
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// As a message shows it.
    pub fn describe(&self, language: Language) -> String {
        match (self, language) {
            (Self::Null, Language::Node) => "null".to_owned(),
            (Self::Null, Language::Python) => "None".to_owned(),
            (Self::Flag(flag), Language::Node) => flag.to_string(),
            (Self::Flag(flag), Language::Python) => if *flag { "True" } else { "False" }.to_owned(),
            (Self::Whole(number), _) => number.to_string(),
            (Self::Number(number), _) => format!("{number:?}"),
            (Self::Text(text), _) => format!("{text:?}"),
            (Self::List(values), _) => {
                let values: Vec<_> = values.iter().map(|value| value.describe(language)).collect();
                format!("[{}]", values.join(", "))
            }
            (Self::Map(fields), _) => {
                let field =
                    |(name, value): &(String, Value)| format!("{name:?}: {}", value.describe(language));
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            (Self::Function, _) => "a function".to_owned(),
            (Self::Other(described), _) => described.clone(),
        }
    }
}
