//! Futures of the core that the event loop's own thread polls.
//!
//! A request that can be answered at once is answered in the call that brings it, and what handlers emit reaches a
//! waiting poll in the same turn of the loop: no other thread takes part.

use std::sync::Arc;

use bytes::Bytes;
use ferrio_host::{BoxFuture, ByteChannel, Executor, Started, TaskHandle};
use pyo3::{intern, prelude::*, types::PyString};

use crate::{bridge::Bridge, process::Own};

/// What a future of the core comes to, made into a Python value where the interpreter is held.
pub(crate) type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Polls them, each on behalf of an asyncio future.
pub(crate) type Futures = Executor<Py<PyAny>, Outcome>;
type Handle = TaskHandle<Py<PyAny>, Outcome>;

/// Runs a future of the core: returns its value when it is there at once, else a [`Pending`].
pub(crate) fn start(py: Python<'_>, bridge: &Bridge, future: BoxFuture<Outcome>) -> PyResult<Py<PyAny>> {
    start_with_body(py, bridge, future, None)
}

/// The same for a request whose body may go on.
pub(crate) fn start_with_body(
    py: Python<'_>,
    bridge: &Bridge,
    future: BoxFuture<Outcome>,
    body: Option<Arc<ByteChannel>>,
) -> PyResult<Py<PyAny>> {
    // Without the interpreter: locks of the core must hold nobody up.
    match py.detach(|| bridge.futures.start(future)) {
        Started::Done(outcome) => outcome(py),
        Started::Pending(pending) => {
            let future = bridge.event_loop()?.object.call_method0(py, intern!(py, "create_future"))?;
            let task = pending.spawn(future.clone_ref(py));
            Ok(Py::new(py, Pending { work: Own::new((task, body)), future })?.into_any())
        }
    }
}

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

/// Something of the core that is under way. When nobody has it any more, it is given up.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Pending {
    work: Own<(Handle, Option<Arc<ByteChannel>>)>,
    /// The asyncio future that gets the result.
    #[pyo3(get)]
    future: Py<PyAny>,
}

#[pymethods]
impl Pending {
    /// Takes the next piece of the request's body.
    fn feed(&self, piece: &[u8], has_more: bool) -> PyResult<()> {
        if let (_, Some(body)) = self.work.here()? {
            feed(body, piece, has_more);
        }
        Ok(())
    }

    /// Gives it up; nothing happens when it is done.
    fn cancel(&self) {
        // One of the parent's goes on with the parent.
        if let Some((task, _)) = self.work.get() {
            task.cancel();
        }
    }
}

/// Adds a piece to a request's body. The package need not pause: the core bounds what it reads.
pub(crate) fn feed(body: &ByteChannel, piece: &[u8], has_more: bool) {
    body.push(Bytes::copy_from_slice(piece));
    if !has_more {
        body.end();
    }
}
