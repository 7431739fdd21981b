//! What is thrown in JavaScript.

use std::io;

use ferrio_host::options::{ErrorKind, OptionError};
use napi::{Env, Error, Status};

/// A bad option: a `TypeError`, or a `RangeError` where the type is right.
pub(crate) fn bad_option(env: Env, error: &OptionError) -> Error {
    let message = error.to_string();
    let thrown = match error.kind() {
        ErrorKind::Type | ErrorKind::Unknown => env.throw_type_error(&message, Some(BAD_OPTION)),
        ErrorKind::Value => env.throw_range_error(&message, Some(BAD_OPTION)),
    };
    // It is thrown already, if it can be.
    Error::new(thrown.map_or(Status::InvalidArg, |()| Status::PendingException), message)
}

/// The `code` of such an error.
const BAD_OPTION: &str = "InvalidArg";

/// A failure of the operating system.
pub(crate) fn system(error: &io::Error) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}

/// TypeScript has passed something that it never should: our own mistake.
pub(crate) fn misuse(what: &str) -> Error {
    Error::new(Status::InvalidArg, what)
}
