//! Which Python exception tells of what.

use ferrio::AckStatus;
use ferrio_host::options::{ErrorKind, OptionError};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::PyList,
};

/// A bad option.
pub(crate) fn option(error: &OptionError) -> PyErr {
    match error.kind() {
        ErrorKind::Type | ErrorKind::Unknown => PyTypeError::new_err(error.to_string()),
        ErrorKind::Value => PyValueError::new_err(error.to_string()),
    }
}

/// Acks that did not all come; `answers` holds those that did.
pub(crate) fn acks(py: Python<'_>, status: AckStatus, answers: Bound<'_, PyList>) -> PyErr {
    static TIMEOUT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static TOO_LARGE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let (class, message) = match status {
        AckStatus::Disconnected => {
            (TIMEOUT.import(py, "ferrio.exceptions", "TimeoutError"), "the client has left")
        }
        AckStatus::TimedOut => (TIMEOUT.import(py, "ferrio.exceptions", "TimeoutError"), "no answer in time"),
        AckStatus::Complete | AckStatus::OneOfMany => {
            (TIMEOUT.import(py, "ferrio.exceptions", "TimeoutError"), "an answer that cannot be read")
        }
        AckStatus::TooLarge => {
            (TOO_LARGE.import(py, "ferrio.exceptions", "TooLargeError"), "the answers are too large")
        }
    };
    match class.and_then(|class| class.call1((message,))) {
        Err(error) => error,
        Ok(exception) => match exception.setattr("answers", answers) {
            Err(error) => error,
            Ok(()) => PyErr::from_value(exception),
        },
    }
}

/// Reports what went wrong where nobody can catch it, as asyncio does.
pub(crate) fn report(py: Python<'_>, event_loop: &Bound<'_, PyAny>, message: &str, error: PyErr) {
    let context = pyo3::types::PyDict::new(py);
    let told = context
        .set_item("message", message)
        .and_then(|()| context.set_item("exception", error.clone_ref(py)))
        .and_then(|()| event_loop.call_method1("call_exception_handler", (context,)));
    if told.is_err() {
        error.write_unraisable(py, None);
    }
}
