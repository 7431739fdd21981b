//! One session of the engine, and the end of one, as the package sees them.

use std::sync::Arc;

use bytes::Bytes;
use ferrio::{CloseReason, Connection, DisconnectReason, Message, SendOptions, Watch};
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

use crate::{
    bridge::Bridge,
    process::Own,
    sessions::SessionState,
    socket::DisconnectedSocket,
    socket_state::{self, SocketState},
};

/// Why a session is over that the application has ended, in python-engineio's words.
const SERVER_DISCONNECT: &str = "server disconnect";

impl Bridge {
    /// A session of the engine.
    pub(crate) fn session(&self, py: Python<'_>, id: &str) -> Option<Arc<SessionState>> {
        if let Some(session) = self.sessions.get(id) {
            return Some(session);
        }
        let connection = self.server.engine().session(id).filter(|_| !self.is_engine)?;
        Some(self.sessions.opened(py, connection))
    }

    /// Every session of the engine, the oldest first.
    pub(crate) fn all_sessions(&self, py: Python<'_>) -> Vec<Arc<SessionState>> {
        if self.is_engine {
            return self.sessions.all();
        }
        let mut connections = self.server.engine().sessions();
        connections.sort_by_key(|connection| connection.handshake().issued);
        let of = |connection: Arc<Connection>| {
            self.sessions.get(connection.id()).unwrap_or_else(|| self.sessions.opened(py, connection))
        };
        connections.into_iter().map(of).collect()
    }

    /// Sends a message to a session, or keeps it until that is open.
    pub(crate) fn send_to_session(&self, py: Python<'_>, session: &SessionState, message: Message) {
        if let Some((connection, frame)) = session.outgoing(message) {
            self.write(py, |writes| connection.push(&frame.into(), SendOptions::default(), writes));
        }
    }

    /// Ends a session. Returns what is left to do for it, and for each socket that leaves by it.
    fn end_session(
        self: &Arc<Self>,
        py: Python<'_>,
        session: &Arc<SessionState>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let connection = session.connection();
        if self.is_engine {
            if !session.begin_end() {
                return Ok(Vec::new());
            }
            if let Some(connection) = connection {
                py.detach(|| connection.close(CloseReason::ForcedClose));
            }
            let end = SessionEnd::new(self, session, SERVER_DISCONNECT);
            return Ok(vec![Py::new(py, end)?.into_any()]);
        }
        let Some(connection) = connection else { return Ok(Vec::new()) };
        let disconnected_sockets = py.detach(|| self.server.force_close(&connection));
        let disconnected_sockets = disconnected_sockets.into_iter().map(|disconnected| {
            SocketState::attach(py, disconnected.socket()).put_out();
            let credit = disconnected.socket().credit();
            let reason = DisconnectReason::ServerNamespaceDisconnect;
            Ok(Py::new(py, DisconnectedSocket::new(self, disconnected, credit).because(reason))?.into_any())
        });
        disconnected_sockets.collect()
    }
}

/// What the application sends: text, or something with bytes.
pub(crate) fn outgoing(data: &Bound<'_, PyAny>) -> PyResult<Message> {
    if let Ok(text) = data.cast::<PyString>() {
        return Ok(Message::Text(Arc::from(text.to_str()?)));
    }
    Ok(Message::Binary(Bytes::from(data.extract::<Vec<u8>>()?)))
}

/// A session of the engine, as the package sees it.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Session(Own<Local>);

struct Local {
    session: Arc<SessionState>,
    bridge: Arc<Bridge>,
}

impl Session {
    pub(crate) fn new(session: Arc<SessionState>, bridge: Arc<Bridge>) -> Self {
        Self(Own::new(Local { session, bridge }))
    }
}

#[pymethods]
impl Session {
    #[getter]
    fn sid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.0.here()?.session.sid.bind(py).clone())
    }

    #[getter]
    fn transport(&self) -> PyResult<&'static str> {
        Ok(self.0.here()?.session.transport().as_str())
    }

    /// Whether the client has got the answer to its handshake, and has not gone.
    #[getter]
    fn connected(&self) -> PyResult<bool> {
        Ok(self.0.here()?.session.is_connected())
    }

    #[getter]
    fn closed(&self) -> PyResult<bool> {
        Ok(self.0.here()?.session.is_closed())
    }

    /// Whether a WebSocket is being probed.
    #[getter]
    fn upgrading(&self) -> PyResult<bool> {
        let connection = self.0.here()?.session.connection();
        Ok(connection.is_some_and(|connection| connection.is_upgrading()))
    }

    /// What the application keeps with it.
    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Local { session, bridge } = self.0.here()?;
        keep_for_data(bridge, session);
        if let Some(data) = &*session.session.lock() {
            return Ok(data.bind(py).clone());
        }
        Ok(socket_state::first(&session.session, &PyDict::new(py)))
    }

    #[setter]
    fn set_session(&self, data: Py<PyAny>) -> PyResult<()> {
        let Local { session, bridge } = self.0.here()?;
        keep_for_data(bridge, session);
        let former = session.session.lock().replace(data);
        drop(former);
        Ok(())
    }

    /// Ends it. Returns what is left to do.
    fn disconnect(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let Local { session, bridge } = self.0.here()?;
        bridge.end_session(py, session)
    }
}

/// Keeps a connection under Socket.IO for its data, as long as it is open.
fn keep_for_data(bridge: &Bridge, session: &Arc<SessionState>) {
    if bridge.is_engine || bridge.sessions.get(&session.id).is_some() {
        return;
    }
    let Some(connection) = session.connection() else { return };
    bridge.sessions.keep(session);
    if !bridge.server.watch(&connection, Watch::CLOSE) {
        bridge.sessions.forget(session);
    }
}

/// The end of a session without Socket.IO, while what belongs to it is still known. When it is dropped, that is not.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct SessionEnd(Own<Ending>);

struct Ending {
    session: Arc<SessionState>,
    reason: &'static str,
    bridge: Arc<Bridge>,
}

impl SessionEnd {
    pub(crate) fn new(bridge: &Arc<Bridge>, session: &Arc<SessionState>, reason: &'static str) -> Self {
        Self(Own::new(Ending { session: session.clone(), reason, bridge: bridge.clone() }))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.bridge.sessions.forget(&self.session);
    }
}

#[pymethods]
impl SessionEnd {
    #[getter]
    fn sid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.0.here()?.session.sid.bind(py).clone())
    }

    #[getter]
    fn reason(&self) -> PyResult<&'static str> {
        Ok(self.0.here()?.reason)
    }

    /// Forgets the session.
    fn finish(&self) -> PyResult<()> {
        let Ending { session, bridge, .. } = self.0.here()?;
        bridge.sessions.forget(session);
        Ok(())
    }
}
