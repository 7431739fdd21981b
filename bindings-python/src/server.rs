//! A server, as the package sees it.

use std::{os::fd::AsRawFd, sync::Arc};

use bytes::Bytes;
use ferrio::{ListenOptions, Server as CoreServer, Tls};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyBytes, PyDict},
};

use crate::{
    body::Pieces,
    bridge::{Bridge, Manners},
    doors::{self, Listener, WebSocket},
    error,
    namespace::Namespace,
    options,
    pending::{self, Outcome},
    request,
    room::Rooms,
    value::Json,
    waker::Waker,
};

#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Server {
    server: CoreServer,
    bridge: Arc<Bridge>,
}

#[pymethods]
impl Server {
    /// `handlers` is the dictionary of functions by namespace and event, which the package goes on to fill.
    #[new]
    fn new(
        options: &Bound<'_, PyDict>,
        handlers: Py<PyDict>,
        json: Option<Py<PyAny>>,
        async_handlers: bool,
        always_connect: bool,
    ) -> PyResult<Self> {
        let config = options::config(options)?;
        let recovers = config.recovery.is_some();
        let waker = Arc::new(Waker::default());
        let wake = waker.clone();
        let (server, events) =
            CoreServer::new(config, move || wake.wake()).map_err(|error| error::config(&error))?;
        let manners = Manners { is_serial: !async_handlers, always_connect, recovers };
        let bridge = Bridge::new(
            server.clone(),
            events,
            waker,
            Json::new(json),
            Rooms::new(options.py()),
            handlers,
            manners,
        );
        Ok(Self { server, bridge: Arc::new(bridge) })
    }

    /// Serves on this event loop from now on; returns the descriptor to watch, which calls `drain`.
    fn bind(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
        host: Py<PyAny>,
        start_task: Py<PyAny>,
        context: Py<PyAny>,
    ) -> PyResult<i32> {
        let pipe = slf.get().bridge.bind(slf.py(), event_loop, host, start_task, context, slf.as_any())?;
        Ok(pipe.reader.as_raw_fd())
    }

    /// Leaves its event loop.
    fn unbind(&self, py: Python<'_>) {
        self.bridge.unbind(py);
    }

    /// Handles what has come, and returns whether more waits. For the event loop's thread.
    fn drain(&self, py: Python<'_>) -> PyResult<bool> {
        self.bridge.drain(py)
    }

    /// Puts on the wire what was emitted. For the event loop's thread.
    fn flush(&self, py: Python<'_>) {
        self.bridge.flush(py);
    }

    /// A namespace, which is opened if it is not.
    fn open(&self, name: &str) -> Namespace {
        Namespace::new(self.server.namespace(name), &self.bridge)
    }

    /// A namespace, if it is open.
    fn namespace(&self, name: &str) -> Option<Namespace> {
        Some(Namespace::new(self.server.find_namespace(name)?, &self.bridge))
    }

    /// The names of all namespaces.
    fn namespaces(&self) -> Vec<String> {
        self.server.namespaces().iter().map(|namespace| namespace.name().to_string()).collect()
    }

    /// Answers an HTTP request: `(status, headers, body)`, or a `Pending` that comes to it and takes the pieces of the
    /// body that follow.
    fn handle(
        &self,
        py: Python<'_>,
        scope: &Bound<'_, PyDict>,
        body: &Bound<'_, PyBytes>,
        has_more: bool,
    ) -> PyResult<Py<PyAny>> {
        let head = request::from_scope(scope)?;
        let pieces = Pieces::default();
        pieces.push(Bytes::copy_from_slice(body.as_bytes()), has_more);
        let (server, rest) = (self.server.clone(), pieces.clone());
        let work = async move {
            let response = server.handle(head, pieces).await;
            Box::new(move |py: Python<'_>| Ok(request::response(py, &response)?.unbind())) as Outcome
        };
        pending::start_with_body(py, &self.bridge, Box::pin(work), rest)
    }

    /// Takes a WebSocket whose messages the caller passes on: a `WebSocket`, or the response that refuses it.
    fn exchange(&self, py: Python<'_>, scope: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        let head = request::from_scope(scope)?;
        let server = self.server.clone();
        let bridge = self.bridge.clone();
        let work = async move {
            let accepted = server.exchange_messages(head).await;
            Box::new(move |py: Python<'_>| match accepted {
                Ok(socket) => Ok(Py::new(py, WebSocket { socket: Arc::new(socket), bridge })?.into_any()),
                Err(response) => Ok(request::response(py, &response)?.unbind()),
            }) as Outcome
        };
        pending::start(py, &self.bridge, Box::pin(work))
    }

    /// Takes over a connection with its upgrade request; the caller's descriptor stays the caller's.
    fn adopt(
        &self,
        py: Python<'_>,
        descriptor: i32,
        head: &[u8],
        client: Option<(String, u16)>,
    ) -> PyResult<()> {
        let head = request::from_bytes(head, client)?;
        py.detach(|| doors::adopt(&self.server, descriptor, head))?;
        Ok(())
    }

    /// Serves a port of its own: a `Pending` that comes to a `Listener`. `address` is `host:port`, `tls` a certificate chain
    /// and its key.
    #[pyo3(signature = (address, tls = None))]
    fn listen(
        &self,
        py: Python<'_>,
        address: String,
        tls: Option<(Vec<u8>, Vec<u8>)>,
    ) -> PyResult<Py<PyAny>> {
        let tls = tls.map(|(certificates, key)| Tls::from_pem(&certificates, &key));
        let tls = tls.transpose().map_err(|error| PyValueError::new_err(error.to_string()))?;
        let options = ListenOptions { address, tls, ..ListenOptions::default() };
        let (server, bridge) = (self.server.clone(), self.bridge.clone());
        let work = async move {
            let listening = server.listen(options).await;
            Box::new(move |py: Python<'_>| {
                let listener = Listener { listener: listening?, bridge };
                Ok(Py::new(py, listener)?.into_any())
            }) as Outcome
        };
        pending::start(py, &self.bridge, Box::pin(work))
    }

    /// Ends every connection; what is left to tell the application still comes by `drain`.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.server.close());
    }

    /// How many connections there are.
    #[getter]
    fn connections(&self) -> usize {
        self.server.n_connections()
    }

    /// How many requests and the like are under way.
    #[getter]
    fn pending(&self) -> usize {
        self.bridge.ready.n_pending()
    }

    /// The server's counters by name.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metrics = PyDict::new(py);
        for (name, value) in self.server.metrics().iter() {
            metrics.set_item(name, value)?;
        }
        Ok(metrics)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.bridge.visit(&visit)
    }
}

impl Drop for Server {
    /// Nobody is left to handle what its clients send.
    fn drop(&mut self) {
        self.server.close();
    }
}

/// Refuses options that are out of their bounds.
#[pyfunction]
pub(crate) fn check_options(options: &Bound<'_, PyDict>) -> PyResult<()> {
    options::config(options)?.validate().map_err(|error| error::config(&error))
}
