//! The entry points that Python has to hold open: a port of the server's own, and WebSockets whose messages are passed on.

use std::sync::Arc;

use bytes::Bytes;
use ferrio::{MessageSocket, Outgoing};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyList, PyString},
};

use crate::{bridge::Bridge, futures::Outcome, pending, process::Own};

/// A port of the server's own.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Listener(Own<(ferrio::Listener, Arc<Bridge>)>);

impl Listener {
    pub(crate) fn new(listener: ferrio::Listener, bridge: Arc<Bridge>) -> Self {
        Self(Own::new((listener, bridge)))
    }
}

#[pymethods]
impl Listener {
    #[getter]
    fn host(&self) -> PyResult<String> {
        Ok(self.0.here()?.0.local_addr().ip().to_string())
    }

    #[getter]
    fn port(&self) -> PyResult<u16> {
        Ok(self.0.here()?.0.local_addr().port())
    }

    /// Accepts no more connections.
    fn close(&self) -> PyResult<()> {
        self.0.here()?.0.close();
        Ok(())
    }

    /// A `Pending` that is done when the port is free again.
    fn closed(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (listener, bridge) = self.0.here()?;
        let listener = listener.clone();
        let work = async move {
            listener.closed().await;
            nothing()
        };
        pending::start(py, bridge, Box::pin(work))
    }
}

/// A WebSocket whose messages the package carries.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct WebSocket(Own<(Arc<MessageSocket>, Arc<Bridge>)>);

impl WebSocket {
    pub(crate) fn new(socket: MessageSocket, bridge: Arc<Bridge>) -> Self {
        Self(Own::new((Arc::new(socket), bridge)))
    }
}

#[pymethods]
impl WebSocket {
    /// Takes a message; a `Pending` says to wait before the next.
    fn receive(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (socket, bridge) = self.0.here()?;
        let socket = socket.clone();
        if let Ok(text) = message.cast::<PyString>() {
            let text = text.to_str()?.to_owned();
            let work = async move {
                socket.receive_text(&text).await;
                nothing()
            };
            return pending::start(py, bridge, Box::pin(work));
        }
        let data = Bytes::copy_from_slice(message.extract()?);
        let work = async move {
            socket.receive_binary(&data).await;
            nothing()
        };
        pending::start(py, bridge, Box::pin(work))
    }

    /// What is to be sent: a list of `str`, `bytes` and, at the end, the `int` to close with; `None` after that. Or a
    /// `Pending` that comes to it.
    fn next(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (socket, bridge) = self.0.here()?;
        let socket = socket.clone();
        let work = async move {
            let messages = socket.next().await;
            Box::new(move |py: Python<'_>| match messages {
                Some(messages) => Ok(outgoing(py, &messages)?.into_any().unbind()),
                None => Ok(py.None()),
            }) as Outcome
        };
        pending::start(py, bridge, Box::pin(work))
    }

    /// Takes note that the client has gone.
    fn closed(&self, py: Python<'_>) {
        // One of the parent's goes on with the parent.
        if let Some((socket, _)) = self.0.get() {
            py.detach(|| socket.closed());
        }
    }
}

fn outgoing<'py>(py: Python<'py>, messages: &[Outgoing]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for message in messages {
        match message {
            Outgoing::Text(text) => list.append(String::from_utf8_lossy(text))?,
            Outgoing::Binary(data) => list.append(PyBytes::new(py, data))?,
            Outgoing::Close(code) => list.append(code)?,
        }
    }
    Ok(list)
}

fn nothing() -> Outcome {
    Box::new(|py| Ok(py.None()))
}
