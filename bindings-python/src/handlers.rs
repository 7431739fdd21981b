//! Which handler an event is for, and how it is called.

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};

use crate::bridge::{Bridge, EventLoop};

/// A handler, and what it gets before the socket's id.
pub(crate) struct Handler<'py> {
    pub(crate) function: Bound<'py, PyAny>,
    pub(crate) prefix: Option<Bound<'py, PyTuple>>,
}

impl Bridge {
    /// The handler for an event; `None` if there is none.
    pub(crate) fn handler<'py>(
        &self,
        py: Python<'py>,
        event_loop: &EventLoop,
        namespace: &Bound<'py, PyString>,
        event: &Bound<'py, PyString>,
    ) -> PyResult<Option<Handler<'py>>> {
        let is_star = match event.to_str().unwrap_or_default() {
            // Names of the server's own events: a client must not reach their handlers by an event of its own.
            "connect" | "disconnect" => return Ok(None),
            // An event of that name is for the catch-all handler, with its name first.
            name => name == "*",
        };
        if !is_star
            && let Some(handlers) = self.handlers.bind(py).get_item(namespace)?
            && let Some(function) = handlers.cast::<PyDict>()?.get_item(event)?
        {
            return Ok(Some(Handler { function, prefix: None }));
        }
        let found =
            event_loop.host.bind(py).call_method1(intern!(py, "_find_handler"), (event, namespace))?;
        let found: Option<(Bound<'py, PyAny>, Option<Bound<'py, PyTuple>>)> = found.extract()?;
        Ok(found.map(|(function, prefix)| Handler { function, prefix }))
    }
}

impl<'py> Handler<'py> {
    /// Calls it with the client's id and what it has sent.
    pub(crate) fn call(
        self,
        event_loop: &EventLoop,
        sid: &Bound<'py, PyString>,
        sent: impl ExactSizeIterator<Item = Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Self { function, prefix } = self;
        let py = function.py();
        let is_coroutine_function = is_coroutine_function(&function);
        let mut arguments = Vec::with_capacity(sent.len() + 3);
        if !is_coroutine_function {
            arguments.push(function.clone());
        }
        arguments.extend(prefix.iter().flat_map(PyTupleMethods::iter));
        arguments.push(sid.clone().into_any());
        arguments.extend(sent);
        let arguments = PyTuple::new(py, arguments)?;
        if is_coroutine_function {
            return function.call1(arguments);
        }
        // What it sets in context variables is not seen by other handlers.
        let context = event_loop.context.call_method0(py, intern!(py, "copy"))?;
        context.bind(py).getattr(intern!(py, "run"))?.call1(arguments)
    }
}

/// Whether calling it only makes a coroutine.
fn is_coroutine_function(handler: &Bound<'_, PyAny>) -> bool {
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
