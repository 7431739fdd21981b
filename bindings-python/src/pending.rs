//! What a call of the package gets that has to wait for a future of the core.

use std::sync::Arc;

use bytes::Bytes;
use ferrio_host::{BoxFuture, ByteChannel, Started};
use pyo3::{intern, prelude::*};

use crate::{
    bridge::Bridge,
    futures::{Handle, Outcome},
    process::Own,
};

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
