//! What is thrown in JavaScript.

use std::io;

use ferrio::ConfigError;
use napi::{Error, Status};

/// A bad option, by the name that JavaScript knows.
pub(crate) fn bad_option(error: &ConfigError) -> Error {
    let message = error.to_string().replacen(error.option(), &javascript_name(error.option()), 1);
    Error::new(Status::InvalidArg, message)
}

/// An option whose value is of the wrong kind; `path` is the option's name in JavaScript.
pub(crate) fn wrong_type(path: &str, expected: &str, value: &serde_json::Value) -> Error {
    Error::new(Status::InvalidArg, format!("option `{path}` must be {expected}, not {value}"))
}

/// A failure of the operating system.
pub(crate) fn system(error: &io::Error) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}

/// TypeScript has passed something that it never should: our own mistake.
pub(crate) fn misuse(what: &str) -> Error {
    Error::new(Status::InvalidArg, what)
}

fn javascript_name(option: &str) -> String {
    if option == "allow_eio3" {
        return "allowEIO3".to_owned();
    }
    let mut name = String::with_capacity(option.len());
    let mut starts_word = false;
    for character in option.replacen("recovery.", "connectionStateRecovery.", 1).chars() {
        match character {
            '_' => starts_word = true,
            _ if starts_word => {
                name.push(character.to_ascii_uppercase());
                starts_word = false;
            }
            _ => name.push(character),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_names_are_those_of_javascript() {
        assert_eq!(javascript_name("max_http_buffer_size"), "maxHttpBufferSize");
        assert_eq!(javascript_name("limits.max_depth"), "limits.maxDepth");
        assert_eq!(javascript_name("recovery.max_packets"), "connectionStateRecovery.maxPackets");
    }
}
