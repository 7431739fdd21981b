//! A server, as the package sees it.

use std::{os::fd::AsRawFd, sync::Arc};

use bytes::Bytes;
use ferrio::{Config, ListenOptions, Server as CoreServer, Tls, Watch};
use ferrio_host::{
    ByteChannel, RequestBody,
    admin::Admin,
    duplicate, give_memory_back,
    options::{Language, core_error},
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};

use crate::{
    admin::{Login, Settings},
    bridge::{Behaviour, Bridge},
    entry_points::{Listener, WebSocket},
    error,
    futures::Outcome,
    namespace::Namespace,
    options, pending,
    process::Own,
    request,
    room::Rooms,
    session::{self, Session},
    socket::Socket,
    value::Json,
    waker::Waker,
};

#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Server(Own<Arc<Bridge>>);

#[pymethods]
impl Server {
    /// `handlers` is the dictionary of functions by namespace and event, which the package goes on to fill. With
    /// `names_sessions`, it also gives sessions their ids.
    #[new]
    fn new(
        options: &Bound<'_, PyDict>,
        handlers: Py<PyDict>,
        json: Option<Py<PyAny>>,
        async_handlers: bool,
        always_connect: bool,
        names_sessions: bool,
    ) -> PyResult<Self> {
        let config = Config { ask_allow_request: names_sessions, ..options::config(options)? };
        Self::make(options.py(), config, handlers, json, async_handlers, always_connect)
    }

    /// A server without Socket.IO. `handlers` is the dictionary of functions by event.
    #[staticmethod]
    fn engine(
        options: &Bound<'_, PyDict>,
        handlers: Py<PyDict>,
        json: Option<Py<PyAny>>,
        async_handlers: bool,
    ) -> PyResult<Self> {
        let config = options::engine_config(options)?;
        let server = Self::make(options.py(), config, handlers, json, async_handlers, false)?;
        server.0.here()?.server.engine().watch_new_sessions(Watch::MESSAGE | Watch::CLOSE);
        Ok(server)
    }

    /// Serves on this event loop from now on; returns the descriptor to watch, which calls `drain`.
    fn bind(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
        host: Py<PyAny>,
        start_task: Py<PyAny>,
        context: Py<PyAny>,
    ) -> PyResult<i32> {
        let pipe = slf.get().0.here()?.bind(slf.py(), event_loop, host, start_task, context, slf.as_any())?;
        Ok(pipe.reader.as_raw_fd())
    }

    /// Says that a thread reads the descriptor, and has the loop call `drain` for each byte.
    fn leave_to_reader(&self) -> PyResult<()> {
        self.0.here()?.waker.leave_to_reader();
        Ok(())
    }

    /// Leaves its event loop. Returns the tasks of handlers that are still at work.
    fn unbind(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        Ok(self.0.here()?.unbind(py))
    }

    /// Handles what has come, and returns whether more waits. For the event loop's thread.
    fn drain(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.here()?.drain(py)
    }

    /// Puts on the wire what was emitted. For the event loop's thread.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.0.here()?.flush(py);
        Ok(())
    }

    /// A namespace, which is opened if it is not.
    fn open(&self, name: &str) -> PyResult<Namespace> {
        let bridge = self.0.here()?;
        Ok(Namespace::new(bridge.server.namespace(name), bridge))
    }

    /// Opens every namespace that a client asks for.
    fn open_any(&self) -> PyResult<()> {
        self.0.here()?.server.allow_any_namespace();
        Ok(())
    }

    /// A namespace, if it is open.
    fn namespace(&self, name: &Bound<'_, PyString>) -> PyResult<Option<Namespace>> {
        let bridge = self.0.here()?;
        // What is no text is no namespace's name.
        let Ok(name) = name.to_str() else { return Ok(None) };
        Ok(bridge.server.find_namespace(name).map(|namespace| Namespace::new(namespace, bridge)))
    }

    /// The names of all namespaces.
    fn namespaces(&self) -> PyResult<Vec<String>> {
        let namespaces = self.0.here()?.server.namespaces();
        Ok(namespaces.iter().map(|namespace| namespace.name().to_string()).collect())
    }

    /// A session of the engine by its id.
    fn session(&self, py: Python<'_>, sid: &Bound<'_, PyAny>) -> PyResult<Option<Session>> {
        let bridge = self.0.here()?;
        let Some(sid) = text(sid) else { return Ok(None) };
        Ok(bridge.session(py, sid).map(|session| Session::new(session, bridge.clone())))
    }

    /// The sessions of the engine, the oldest first.
    fn sessions(&self, py: Python<'_>) -> PyResult<Vec<Session>> {
        let bridge = self.0.here()?;
        let sessions = bridge.all_sessions(py).into_iter();
        Ok(sessions.map(|session| Session::new(session, bridge.clone())).collect())
    }

    /// How many sessions the engine has.
    #[getter]
    fn n_sessions(&self) -> PyResult<usize> {
        let bridge = self.0.here()?;
        Ok(if bridge.is_engine { bridge.sessions.len() } else { bridge.server.engine().n_sessions() })
    }

    /// Sends a message of the engine, `str` or `bytes`. Returns whether there is such a session.
    fn send(&self, py: Python<'_>, sid: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        let bridge = self.0.here()?;
        let Some(session) = text(sid).and_then(|sid| bridge.session(py, sid)) else { return Ok(false) };
        bridge.send_to_session(py, &session, session::outgoing(data)?);
        Ok(true)
    }

    /// The id of the socket that a session of the engine has in a namespace.
    fn socket_id(&self, sid: &Bound<'_, PyAny>, namespace: &str) -> PyResult<Option<String>> {
        let bridge = self.0.here()?;
        let connection = text(sid).and_then(|sid| bridge.server.engine().session(sid));
        let socket = connection.and_then(|connection| bridge.server.socket_of(&connection, namespace));
        Ok(socket.map(|socket| socket.id().to_string()))
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
        let bridge = self.0.here()?;
        let head = request::from_scope(scope)?;
        let channel = Arc::new(ByteChannel::default());
        pending::feed(&channel, body.as_bytes(), has_more);
        let (server, body) = (bridge.server.clone(), RequestBody::new(channel.clone(), || {}));
        let work = async move {
            let response = server.engine().handle(head, body).await;
            Box::new(move |py: Python<'_>| Ok(request::response(py, &response)?.unbind())) as Outcome
        };
        pending::start_with_body(py, bridge, Box::pin(work), Some(channel))
    }

    /// Takes a WebSocket whose messages the caller passes on: a `WebSocket`, or the response that refuses it.
    fn exchange(&self, py: Python<'_>, scope: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        let head = request::from_scope(scope)?;
        let own = self.0.here()?;
        let bridge = own.clone();
        let work = async move {
            let accepted = bridge.server.engine().serve_messages(head).await;
            Box::new(move |py: Python<'_>| match accepted {
                Ok(socket) => Ok(Py::new(py, WebSocket::new(socket, bridge))?.into_any()),
                Err(response) => Ok(request::response(py, &response)?.unbind()),
            }) as Outcome
        };
        pending::start(py, own, Box::pin(work))
    }

    /// Takes over a connection with its upgrade request; the caller's descriptor stays the caller's.
    fn adopt(
        &self,
        py: Python<'_>,
        descriptor: i32,
        head: &[u8],
        client: Option<(String, u16)>,
    ) -> PyResult<()> {
        let bridge = self.0.here()?;
        let head = request::from_bytes(head, client)?;
        py.detach(|| bridge.server.engine().take_over(duplicate(descriptor)?, head, Bytes::new()))?;
        Ok(())
    }

    /// The same with the request as an ASGI scope, of which `kept` is kept for those who ask for the scope.
    fn adopt_scope(
        &self,
        py: Python<'_>,
        descriptor: i32,
        scope: &Bound<'_, PyDict>,
        kept: Option<Py<PyDict>>,
    ) -> PyResult<()> {
        let bridge = self.0.here()?;
        let head = request::from_adopted_scope(scope, kept)?;
        py.detach(|| bridge.server.engine().take_over(duplicate(descriptor)?, head, Bytes::new()))?;
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
        let own = self.0.here()?;
        let bridge = own.clone();
        let work = async move {
            let listening = bridge.server.engine().listen(options).await;
            Box::new(move |py: Python<'_>| Ok(Py::new(py, Listener::new(listening?, bridge))?.into_any()))
                as Outcome
        };
        pending::start(py, own, Box::pin(work))
    }

    /// Shows the server to admin clients from now on.
    fn instrument(&self, settings: Settings) -> PyResult<()> {
        let bridge = self.0.here()?;
        let admin = Admin::new(bridge.server.clone(), settings.into_options()?);
        let former = bridge.admin.lock().replace(admin);
        drop(former);
        Ok(())
    }

    /// Shows it to this client, which is one of them.
    fn show_to(&self, socket: &Socket) -> PyResult<()> {
        if let Some(admin) = &*self.0.here()?.admin.lock() {
            admin.show_to(socket.socket()?.clone());
        }
        Ok(())
    }

    /// Shows it to nobody any more.
    fn uninstrument(&self) -> PyResult<()> {
        self.0.here()?.end_admin();
        Ok(())
    }

    /// Whether a client may log in: `True`, `False`, or `None` if there were too many attempts; or a `Pending` that comes to
    /// it.
    fn check_login(
        &self,
        py: Python<'_>,
        login: &Login,
        username: String,
        password: String,
        address: String,
    ) -> PyResult<Py<PyAny>> {
        login.check(py, self.0.here()?, username, password, address)
    }

    /// Ends every connection; what is left to tell the application still comes by `drain`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.0.here()?.close(py);
        Ok(())
    }

    /// How many connections there are.
    #[getter]
    fn connections(&self) -> PyResult<usize> {
        Ok(self.0.here()?.server.engine().n_sessions())
    }

    /// How many requests and the like are under way.
    #[getter]
    fn pending(&self) -> PyResult<usize> {
        Ok(self.0.here()?.futures.n_tasks())
    }

    /// How much is kept of each kind; nothing, once all clients and handlers have gone. For tests.
    fn held<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let held = PyDict::new(py);
        for (name, count) in self.0.here()?.held() {
            held.set_item(name, count)?;
        }
        Ok(held)
    }

    /// The server's counters by name.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metrics = PyDict::new(py);
        for (name, value) in self.0.here()?.server.metrics().iter() {
            metrics.set_item(name, value)?;
        }
        Ok(metrics)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.0.get().map_or(Ok(()), |bridge| bridge.visit(&visit))
    }

    fn __clear__(&self) {
        if let Some(bridge) = self.0.get() {
            bridge.clear();
            bridge.acks.clear();
        }
    }
}

impl Server {
    fn make(
        py: Python<'_>,
        config: Config,
        handlers: Py<PyDict>,
        json: Option<Py<PyAny>>,
        async_handlers: bool,
        always_connect: bool,
    ) -> PyResult<Self> {
        give_memory_back();
        let recovers = config.recovery.is_some();
        let lane_timeout = config.engine.ping_interval + config.engine.ping_timeout;
        let waker = Arc::new(Waker::default());
        let wake = waker.clone();
        let (server, events) = CoreServer::new(config, move || wake.wake())
            .map_err(|error| error::option(&core_error(Language::Python, &error)))?;
        let behaviour = Behaviour { is_serial: !async_handlers, always_connect, recovers, lane_timeout };
        let bridge = Bridge::new(server, events, waker, Json::new(json), Rooms::new(py), handlers, behaviour);
        Ok(Self(Own::new(Arc::new(bridge))))
    }
}

/// What may be an id: what is no text, or has a lone surrogate, is nobody's.
fn text<'a>(id: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    id.cast::<PyString>().ok()?.to_str().ok()
}

impl Drop for Server {
    /// Nobody is left to handle what its clients send.
    fn drop(&mut self) {
        if let Some(bridge) = self.0.get() {
            bridge.end_admin();
            bridge.server.close();
            bridge.clear();
            bridge.acks.clear();
        }
    }
}
