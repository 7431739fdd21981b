//! The options' documentation, in each language and as a page for both.

use std::time::Duration;

use super::{
    entry::{Entry, Form, Unit},
    language::Language,
    table::entries,
};

/// What a language's package says of an option, next to its declaration: the paragraph, the unit, the bounds and the
/// default.
pub fn text(entry: &Entry, language: Language) -> String {
    [entry.doc.to_owned(), bounds(&entry.form, language), default_sentence(entry, language)]
        .iter()
        .filter(|sentence| !sentence.is_empty())
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The type of an option in a language, if it is one plain type.
pub fn plain_type(entry: &Entry, language: Language) -> Option<&'static str> {
    Some(match (&entry.form, language) {
        (Form::Flag(_), Language::Node) => "boolean",
        (Form::Flag(_), Language::Python) => "bool",
        (Form::Text(_), Language::Node) => "string",
        (Form::Text(_), Language::Python) => "str",
        (Form::Size { .. } | Form::Time { .. }, Language::Node) => "number",
        (Form::Size { .. }, Language::Python) => "int",
        (Form::Time { .. }, Language::Python) => "float",
        _ => return None,
    })
}

/// What is accepted, for messages: a number is given as one would write it in code.
pub(super) fn describe_form(form: &Form, language: Language) -> String {
    let (flag, dictionary) = match language {
        Language::Node => ("true or false", "an object"),
        Language::Python => ("True or False", "a dictionary"),
    };
    match form {
        Form::Flag(_) => flag.to_owned(),
        Form::Text(_) => "text".to_owned(),
        Form::Size { unit, low, high, .. } => {
            let number = match unit {
                Unit::Bytes => "a whole number of bytes",
                Unit::Count => "a whole number",
            };
            match high {
                &usize::MAX => format!("{number}, at least {low}"),
                _ => format!("{number} from {low} to {high}"),
            }
        }
        Form::Time { low, high, .. } => {
            let [low, high] = [low, high].map(|time| in_unit(*time, language));
            format!("a number of {} from {low} to {high}", unit_of_time(language))
        }
        Form::Group => dictionary.to_owned(),
        Form::Switch(_) => format!("{dictionary}, or {flag}"),
        Form::Special { accepts, .. } | Form::Own { accepts, .. } => (*accepts).to_owned(),
    }
}

/// The unit and bounds of a number, for readers.
fn bounds(form: &Form, language: Language) -> String {
    match form {
        Form::Size { unit, low, high, .. } => {
            let mut words = Vec::new();
            if *unit == Unit::Bytes {
                words.push("in bytes".to_owned());
            }
            if *high != usize::MAX {
                words.push(format!("from {} to {}", amount(*low, *unit), amount(*high, *unit)));
            } else if *low > 0 {
                words.push(format!("at least {}", amount(*low, *unit)));
            }
            sentence(&words.join(", "))
        }
        Form::Time { low, high, .. } => {
            let [low, high] = [low, high].map(|time| readable(*time, language));
            format!("In {}, from {low} to {high}.", unit_of_time(language))
        }
        _ => String::new(),
    }
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn default_sentence(entry: &Entry, language: Language) -> String {
    let default = default(entry, language);
    match &entry.form {
        Form::Special { .. } | Form::Own { .. }
            if default.starts_with(|first: char| first.is_lowercase()) =>
        {
            format!("Default: {default}.")
        }
        _ if default.is_empty() => default,
        _ => format!("Default {default}."),
    }
}

/// The default, for readers; nothing for a group.
pub fn default(entry: &Entry, language: Language) -> String {
    let mut config = language.defaults();
    match &entry.form {
        Form::Flag(field) => match (language, *field(&mut config)) {
            (Language::Node, flag) => format!("`{flag}`"),
            (Language::Python, true) => "`True`".to_owned(),
            (Language::Python, false) => "`False`".to_owned(),
        },
        Form::Text(field) => format!("`{}`", field(&mut config)),
        Form::Size { field, unit, .. } => amount(*field(&mut config), *unit),
        Form::Time { field, .. } => readable(*field(&mut config), language),
        Form::Group | Form::Switch(_) => String::new(),
        Form::Special { default, .. } | Form::Own { default, .. } => (*default).to_owned(),
    }
}

/// A number with gaps between its thousands; of bytes, a round one by its unit.
fn amount(number: usize, unit: Unit) -> String {
    let shift = number.trailing_zeros();
    if unit == Unit::Bytes && number > 0 {
        for (bits, name) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if shift >= bits {
                return format!("{} {name}", number >> bits);
            }
        }
    }
    spaced(&number.to_string())
}

fn spaced(digits: &str) -> String {
    let mut spaced = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            spaced.push(' ');
        }
        spaced.push(digit);
    }
    spaced
}

/// How many units of the language's time a second has.
pub(super) fn units_per_second(language: Language) -> f64 {
    match language {
        Language::Node => 1000.0,
        Language::Python => 1.0,
    }
}

fn unit_of_time(language: Language) -> &'static str {
    match language {
        Language::Node => "milliseconds",
        Language::Python => "seconds",
    }
}

fn in_unit(time: Duration, language: Language) -> String {
    (time.as_secs_f64() * units_per_second(language)).to_string()
}

fn readable(time: Duration, language: Language) -> String {
    let number = in_unit(time, language);
    if number.contains('.') { number } else { spaced(&number) }
}

/// The page about all options, in Markdown.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for entry in entries() {
        let languages = [(Language::Node, "Node.js"), (Language::Python, "Python")]
            .map(|(language, title)| (language, title, entry.spelling(language)));
        let title = match languages {
            [(.., Some(node)), (.., Some(python))] if node != python => format!("`{node}`, `{python}`"),
            [(.., Some(name)), (.., Some(_))] => format!("`{name}`"),
            [(_, title, Some(name)), _] | [_, (_, title, Some(name))] => format!("`{name}` ({title})"),
            _ => continue,
        };
        page.push_str(&format_section(entry, &title, &languages));
    }
    page.push_str(ENGINE);
    page
}

const ENGINE: &str = "
## `ferrio/engine` (Node.js)

The Engine.IO server takes those options that are not about sockets and namespaces, by the same names and with the same
bounds. `path`, `addTrailingSlash`, `destroyUpgrade` and `destroyUpgradeTimeout` belong to `attach`. It differs in these:

- `path`: default `/engine.io`
- `ownPort`: default `false`, because applications of engine.io use what Node's HTTP server offers
- `initialPacket`: a message, text or bytes, that every session is sent first; default none
";

fn format_section(
    entry: &Entry,
    title: &str,
    languages: &[(Language, &'static str, Option<&'static str>)],
) -> String {
    let mut facts: Vec<(&str, String)> = Vec::new();
    for (language, title, _) in languages.iter().filter(|(_, _, name)| name.is_some()) {
        let default = default(entry, *language);
        let default = if default.is_empty() { default } else { format!("; default {default}") };
        facts.push((title, format!("{}{default}", describe_form(&entry.form, *language))));
    }
    let facts = match facts.as_slice() {
        [(node, first), (python, second)] if first != second => {
            format!("- {node}: {first}\n- {python}: {second}\n")
        }
        [(_, first), ..] => format!("- {first}\n"),
        [] => String::new(),
    };
    format!("\n### {title}\n\n{}\n\n{facts}", entry.doc)
}

const HEAD: &str = "\
# Options

Every option of a server, under its name in Node.js and in Python. Times are milliseconds in Node.js and seconds in
Python, where the path is not among the options: it is `socketio_path` of `ASGIApp` and of `AsyncServer.listen`. A value
that is not accepted is refused with the option's name, when the server is made.

This page is written by `UPDATE=1 cargo test -p ferrio-host` from the table in `core/host/src/options/table/`.
";
