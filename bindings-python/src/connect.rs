//! The connect handler: clients that it is asked about, and what it decides.

use std::sync::Arc;

use ferrio::{ConnectRequest, DisconnectReason, Payload, Socket};
use pyo3::{intern, prelude::*, types::PyString};

use crate::{
    bridge::{Bridge, EventLoop},
    socket::DisconnectedSocket,
    socket_state::SocketState,
    tasks::Purpose,
    unconnected::Connecting,
};

impl Bridge {
    /// Asks the application about a client.
    pub(crate) fn connect(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        socket: &Arc<Socket>,
        auth: &Payload,
        connect_request: ConnectRequest,
    ) -> PyResult<()> {
        let state = SocketState::attach(py, socket);
        if let Some(former) = socket.recovered() {
            state.restore_session(self.take_session(former));
        }
        let namespace = state.namespace.bind(py);
        if !event_loop.host.call_method1(py, intern!(py, "_decides"), (namespace,))?.is_truthy(py)? {
            let _ = self.write(py, |writes| connect_request.accept(writes));
            return Ok(());
        }
        let auth = if auth.is_empty() { py.None().into_bound(py) } else { self.json.value(py, auth)? };
        let connecting = if self.behaviour.always_connect {
            if self.write(py, |writes| connect_request.accept(writes)).is_err() {
                return Ok(());
            }
            Connecting::In(Arc::downgrade(socket), socket.credit())
        } else {
            Connecting::waiting(&self.unconnected, connect_request)
        };
        let environ = state.environ(py, socket)?;
        let arguments = (state.sid.bind(py), namespace, environ, auth, socket.recovered().is_some());
        let coroutine = event_loop.host.bind(py).call_method1(intern!(py, "_connect"), arguments)?;
        // The events of a client that is in already wait until its connect handler is done.
        let lane = matches!(connecting, Connecting::In(..)).then_some(socket);
        self.run(py, event_loop, coroutine, Purpose::Connect(connecting), lane).map(drop)
    }

    /// Carries out what a connect handler has decided: nothing, or with what message and data its client is kept out.
    pub(crate) fn decided(
        self: &Arc<Self>,
        py: Python<'_>,
        connecting: &Connecting,
        decision: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        match decision.and_then(|decision| decision.extract()) {
            Ok(None) => self.admit(py, connecting),
            Ok(Some((message, data))) => self.refuse(py, connecting, &message, data),
            Err(error) => {
                self.refuse_silently(py, connecting);
                Err(error)
            }
        }
    }

    fn admit(self: &Arc<Self>, py: Python<'_>, connecting: &Connecting) -> PyResult<()> {
        let socket = match connecting {
            Connecting::Waiting(_, socket) => {
                let connect_request = self.unconnected.take_admission(socket);
                let is_in =
                    connect_request.is_some_and(|one| self.write(py, |writes| one.accept(writes)).is_ok());
                if !is_in {
                    return self.let_in_too_late(py, socket);
                }
                socket.clone()
            }
            Connecting::In(socket, _) => {
                let Some(socket) = socket.upgrade() else { return Ok(()) };
                socket
            }
        };
        if SocketState::attach(py, &socket).is_out() {
            // Its own connect handler has put it out.
            for disconnected in self.write(py, |writes| socket.disconnect(false, writes)) {
                self.departed(py, &*self.event_loop()?, &socket, disconnected, socket.credit())?;
            }
        }
        Ok(())
    }

    fn refuse(
        self: &Arc<Self>,
        py: Python<'_>,
        connecting: &Connecting,
        message: &Bound<'_, PyString>,
        data: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Connecting::Waiting(_, socket) = connecting else {
            self.refuse_silently(py, connecting);
            return Ok(());
        };
        let Some(connect_request) = self.unconnected.take_admission(socket) else { return Ok(()) };
        // An error drops the request, which refuses the client.
        let data = data.map(|data| self.json.text(&data, "data")).transpose()?;
        let message = message.to_string_lossy();
        self.write(py, |writes| connect_request.refuse(&message, data.as_deref(), writes));
        Ok(())
    }

    /// Keeps a client out, or puts it out if it was let in before it was asked about. It never was a socket for the
    /// application, which is not told of its end.
    fn refuse_silently(self: &Arc<Self>, py: Python<'_>, connecting: &Connecting) {
        // One that waits is refused because nobody has decided.
        let Connecting::In(socket, _) = connecting else { return };
        let Some(socket) = socket.upgrade() else { return };
        SocketState::attach(py, &socket).refuse();
        let disconnected_sockets = self.write(py, |writes| socket.disconnect(false, writes));
        drop(disconnected_sockets);
    }

    /// Takes note that a client has gone before it was let in. Its connect handler goes on.
    pub(crate) fn connect_aborted(
        self: &Arc<Self>,
        py: Python<'_>,
        socket: &Arc<Socket>,
        reason: DisconnectReason,
    ) -> PyResult<()> {
        let state = SocketState::attach(py, socket);
        if let Some(connect_request) = self.unconnected.take_admission(socket) {
            // Too late, which is not the same as a refusal: it may come back once more to what it had left.
            let _ = self.write(py, |writes| connect_request.accept(writes));
            if let Some(former) = socket.recovered() {
                self.keep_session(former, state.session(py).unbind());
            }
        }
        if state.withdraw(reason) { self.disconnected_outside(py, socket, reason) } else { Ok(()) }
    }

    /// Takes note that a connect handler has let in a client that has gone: as the handler was called, so is that of its
    /// disconnect.
    fn let_in_too_late(self: &Arc<Self>, py: Python<'_>, socket: &Arc<Socket>) -> PyResult<()> {
        match SocketState::attach(py, socket).let_in_too_late() {
            Some(reason) => self.disconnected_outside(py, socket, reason),
            None => Ok(()),
        }
    }

    fn disconnected_outside(
        self: &Arc<Self>,
        py: Python<'_>,
        socket: &Arc<Socket>,
        reason: DisconnectReason,
    ) -> PyResult<()> {
        // Its own server may have been shut down in the connect handler.
        let Ok(event_loop) = self.event_loop() else { return Ok(()) };
        let is_out = SocketState::attach(py, socket).is_out();
        let reason = if is_out { DisconnectReason::ServerNamespaceDisconnect } else { reason };
        let disconnected = Bound::new(py, DisconnectedSocket::outside(self, socket, reason))?;
        let coroutine =
            event_loop.host.bind(py).call_method1(intern!(py, "_connect_aborted"), (disconnected,))?;
        if coroutine.is_none() {
            return Ok(());
        }
        self.run_alone(py, &event_loop, coroutine, Purpose::None)
    }
}
