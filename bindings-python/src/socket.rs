//! One client in one namespace, as the package sees it.

use std::{sync::Arc, time::Duration};

use ferrio::{Credit, DisconnectReason, Flags, Socket as CoreSocket};
use parking_lot::Mutex;
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyList, PyString},
};

use crate::{
    ack_target::AckTarget, bridge::Bridge, process::Own, request::Handshake, socket_state::SocketState,
};

/// A socket, as the package sees it.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Socket(Own<Local>);

struct Local {
    socket: Arc<CoreSocket>,
    bridge: Arc<Bridge>,
}

impl Socket {
    pub(crate) fn new(socket: Arc<CoreSocket>, bridge: Arc<Bridge>) -> Self {
        Self(Own::new(Local { socket, bridge }))
    }

    pub(crate) fn socket(&self) -> PyResult<&Arc<CoreSocket>> {
        Ok(&self.0.here()?.socket)
    }

    fn state(&self, py: Python<'_>) -> PyResult<&SocketState> {
        Ok(SocketState::attach(py, self.socket()?))
    }
}

#[pymethods]
impl Socket {
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.state(py)?.sid.bind(py).clone())
    }

    /// The id of the engine's session that carries it.
    #[getter]
    fn session_id(&self) -> PyResult<String> {
        Ok(self.socket()?.connection().id().to_string())
    }

    #[getter]
    fn namespace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.state(py)?.namespace.bind(py).clone())
    }

    #[getter]
    fn handshake(&self) -> PyResult<Handshake> {
        Ok(Handshake(self.socket()?.handshake().clone()))
    }

    #[getter]
    fn environ<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state(py)?.environ(py, self.socket()?)
    }

    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.state(py)?.session(py))
    }

    #[setter]
    fn set_session(&self, py: Python<'_>, session: Py<PyAny>) -> PyResult<()> {
        self.state(py)?.restore_session(Some(session));
        Ok(())
    }

    #[getter]
    fn transport(&self) -> PyResult<&'static str> {
        Ok(self.socket()?.transport().as_str())
    }

    #[getter]
    fn connected(&self) -> PyResult<bool> {
        Ok(self.socket()?.is_connected())
    }

    #[getter]
    fn recovered(&self) -> PyResult<bool> {
        Ok(self.socket()?.recovered().is_some())
    }

    fn rooms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let Local { socket, bridge } = self.0.here()?;
        let rooms = PyList::empty(py);
        let is_unconnected = bridge.unconnected.contains(socket);
        // Nobody can reach it there before it is let in, but it is a room of its own from the start.
        let own = is_unconnected.then(|| socket.id().clone().into());
        for room in own.into_iter().chain(socket.rooms()) {
            rooms.append(bridge.rooms.value(py, &room)?)?;
        }
        Ok(rooms)
    }

    fn join(&self, room: &Bound<'_, PyAny>) -> PyResult<()> {
        let Local { socket, bridge } = self.0.here()?;
        socket.join([bridge.rooms.room(room)?]);
        Ok(())
    }

    fn leave(&self, room: &Bound<'_, PyAny>) -> PyResult<()> {
        let Local { socket, bridge } = self.0.here()?;
        socket.leave(bridge.rooms.room(room)?);
        Ok(())
    }

    fn emit(&self, event: &Bound<'_, PyString>, data: &Bound<'_, PyAny>, volatile: bool) -> PyResult<()> {
        let Local { socket, bridge } = self.0.here()?;
        let payload = bridge.json.event(event, data)?;
        let flags = Flags { volatile, ..Flags::default() };
        bridge.write(event.py(), |writes| socket.emit(&payload, flags, writes));
        Ok(())
    }

    /// Emits, and gives the answer to a callback, or, with `is_future`, to a future. Returns the number of the ack.
    fn emit_with_ack(
        &self,
        event: &Bound<'_, PyString>,
        data: &Bound<'_, PyAny>,
        target: Py<PyAny>,
        is_future: bool,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let Local { socket, bridge } = self.0.here()?;
        let payload = bridge.json.event(event, data)?;
        let timeout = duration(timeout)?;
        let target =
            if is_future { AckTarget::One(target) } else { AckTarget::Callback(target, socket.clone()) };
        let ack = bridge.acks.expect(target, timeout, [socket]);
        bridge.write(event.py(), |writes| {
            socket.emit_with_ack(&payload, Flags::default(), ack, writes);
        });
        Ok(ack.token)
    }

    /// Gives up the wait for an answer.
    fn forget_ack(&self, token: u64) -> PyResult<()> {
        let Local { socket, bridge } = self.0.here()?;
        let target = bridge.acks.take(token);
        if target.is_some() {
            socket.forget_ack(token);
        }
        Ok(())
    }

    /// Puts the client out. Returns what is left to do for each socket that leaves by it.
    fn disconnect(&self, py: Python<'_>, close: bool) -> PyResult<Vec<DisconnectedSocket>> {
        let Local { socket, bridge } = self.0.here()?;
        let disconnected_sockets = bridge.write(py, |writes| socket.disconnect(close, writes));
        // It may have left by itself, or not have been let in: its events are not wanted any more in any case.
        SocketState::attach(py, socket).put_out();
        for disconnected in &disconnected_sockets {
            SocketState::attach(py, disconnected.socket()).put_out();
        }
        let disconnected_sockets = disconnected_sockets.into_iter().map(|disconnected| {
            let credit = disconnected.socket().credit();
            DisconnectedSocket::new(bridge, disconnected, credit)
        });
        Ok(disconnected_sockets.collect())
    }
}

/// A limit of time in seconds; `None` for none. As with asyncio's own limits, one in the past is up at once.
pub(crate) fn duration(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    /// In seconds, thirty years. What is longer is none.
    const LONGEST: f64 = 1e9;
    match seconds {
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err("timeout: not a number")),
        Some(seconds) if seconds <= LONGEST => Ok(Some(Duration::from_secs_f64(seconds.max(0.0)))),
        _ => Ok(None),
    }
}

/// A socket that has left, while its rooms and session are still known.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct DisconnectedSocket(Own<Leaving>);

struct Leaving {
    disconnected: Mutex<Option<(ferrio::DisconnectedSocket, Credit)>>,
    socket: Arc<CoreSocket>,
    reason: DisconnectReason,
    bridge: Arc<Bridge>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.bridge.unconnected.forget_leaving(&self.socket);
    }
}

impl DisconnectedSocket {
    pub(crate) fn new(
        bridge: &Arc<Bridge>,
        disconnected: ferrio::DisconnectedSocket,
        credit: Credit,
    ) -> Self {
        Self(Own::new(Leaving {
            socket: disconnected.socket().clone(),
            reason: disconnected.reason(),
            disconnected: Mutex::new(Some((disconnected, credit))),
            bridge: bridge.clone(),
        }))
    }

    /// The same for another reason.
    pub(crate) fn because(mut self, reason: DisconnectReason) -> Self {
        if let Some(leaving) = self.0.get_mut() {
            leaving.reason = reason;
        }
        self
    }

    /// That of a client that was not in.
    pub(crate) fn outside(bridge: &Arc<Bridge>, socket: &Arc<CoreSocket>, reason: DisconnectReason) -> Self {
        bridge.unconnected.keep_leaving(socket);
        let disconnected = Mutex::default();
        Self(Own::new(Leaving { disconnected, socket: socket.clone(), reason, bridge: bridge.clone() }))
    }

    fn state(&self, py: Python<'_>) -> PyResult<&SocketState> {
        Ok(SocketState::attach(py, &self.0.here()?.socket))
    }
}

#[pymethods]
impl DisconnectedSocket {
    #[getter]
    fn sid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.state(py)?.sid.bind(py).clone())
    }

    #[getter]
    fn namespace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.state(py)?.namespace.bind(py).clone())
    }

    /// Socket.IO's own words.
    #[getter]
    fn reason(&self) -> PyResult<&'static str> {
        Ok(self.0.here()?.reason.as_str())
    }

    /// Forgets the socket.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let this = self.0.here()?;
        let disconnected = this.disconnected.lock().take();
        drop(disconnected);
        this.bridge.unconnected.forget_leaving(&this.socket);
        let session = SocketState::attach(py, &this.socket).take_session();
        if let Some(session) = session {
            this.bridge.update_session(this.socket.key(), session);
        }
        Ok(())
    }
}
