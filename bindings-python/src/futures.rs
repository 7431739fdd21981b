//! Futures of the core that the event loop's own thread polls.
//!
//! A request that can be answered at once is answered in the call that brings it, and what handlers emit reaches a
//! waiting poll in the same turn of the loop: no other thread takes part.

use ferrio_host::{Executor, TaskHandle};
use pyo3::{intern, prelude::*, types::PyString};

/// What a future of the core comes to, made into a Python value where the interpreter is held.
pub(crate) type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Polls them, each on behalf of an asyncio future.
pub(crate) type Futures = Executor<Py<PyAny>, Outcome>;

/// One of them.
pub(crate) type Handle = TaskHandle<Py<PyAny>, Outcome>;

/// Polls the futures that can go on, and tells those who wait for them.
pub(crate) fn run_ready(py: Python<'_>, futures: &Futures) {
    futures.run_ready(|task| {
        let Some((future, outcome)) = py.detach(|| task.poll()) else { return };
        let future = future.bind(py);
        let told = match outcome(py) {
            Ok(value) => settle(future, intern!(py, "set_result"), value.into_bound(py)),
            Err(error) => {
                settle(future, intern!(py, "set_exception"), error.into_value(py).into_bound(py).into_any())
            }
        };
        if let Err(error) = told {
            error.write_unraisable(py, Some(future));
        }
    });
}

/// Gives a result to an asyncio future, unless it was cancelled meanwhile.
pub(crate) fn settle(
    future: &Bound<'_, PyAny>,
    method: &Bound<'_, PyString>,
    value: Bound<'_, PyAny>,
) -> PyResult<()> {
    if !future.call_method0(intern!(future.py(), "done"))?.is_truthy()? {
        future.call_method1(method, (value,))?;
    }
    Ok(())
}
