//! Which handler an event is for.

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};

use crate::bridge::{Bridge, Turn};

/// A handler, and what it gets before the socket's id.
type Found<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyTuple>>);

impl Bridge {
    /// The handler for an event, and what it gets before the socket's id.
    pub(crate) fn handler<'py>(
        &self,
        py: Python<'py>,
        turn: &Turn,
        namespace: &Bound<'py, PyString>,
        event: &Bound<'py, PyString>,
    ) -> PyResult<Option<Found<'py>>> {
        if let "connect" | "disconnect" = event.to_str().unwrap_or_default() {
            // Names of the server's own events: a client must not reach their handlers by an event of its own.
            return Ok(None);
        }
        // An event of that name is for the catch-all handler, with its name first.
        let is_star = event.to_str().is_ok_and(|event| event == "*");
        if !is_star
            && let Some(handlers) = self.handlers.bind(py).get_item(namespace)?
            && let Some(handler) = handlers.cast::<PyDict>()?.get_item(event)?
        {
            return Ok(Some((handler, None)));
        }
        let found = turn.host.bind(py).call_method1(intern!(py, "_find_handler"), (event, namespace))?;
        found.extract()
    }
}

/// Whether calling it only makes a coroutine.
pub(crate) fn is_coroutine_function(handler: &Bound<'_, PyAny>) -> bool {
    const CO_COROUTINE: u32 = 0x80;
    let py = handler.py();
    let flags = handler
        .getattr(intern!(py, "__code__"))
        .and_then(|code| code.getattr(intern!(py, "co_flags")))
        .and_then(|flags| flags.extract::<u32>());
    flags.is_ok_and(|flags| flags & CO_COROUTINE != 0)
}

pub(crate) fn is_awaitable(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    if result.is_none() || result.is_instance_of::<PyString>() || result.is_instance_of::<PyDict>() {
        return Ok(false);
    }
    result.get_type().hasattr(intern!(result.py(), "__await__"))
}
