//! Who waits for acks in Python.

use std::sync::Arc;

use ferrio::Socket;
use pyo3::prelude::*;

/// Who waits for an ack.
pub(crate) enum AckTarget {
    /// A callback, which gets the arguments, unless the client was put out meanwhile.
    Callback(Py<PyAny>, Arc<Socket>),
    /// A future for one answer.
    One(Py<PyAny>),
    /// A future for the answers of many.
    Many(Py<PyAny>),
}
