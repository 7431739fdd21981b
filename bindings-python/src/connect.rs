//! Clients that are not in: whose connect handler is at work, or that have gone before it let them in.

use std::sync::{Arc, Weak};

use ferrio::{Admission, Credit, DisconnectReason, Payload, Socket};
use pyo3::{intern, prelude::*, types::PyString};

use crate::{
    bridge::{Bridge, Turn},
    socket::{Deferred, Departure, SocketState},
    tasks::Purpose,
};

/// A client that is in no room, but that its handlers may use.
pub(crate) enum Outside {
    /// Its connect handler has not decided yet.
    Asked(Admission),
    /// It has gone before its connect handler let it in, and its disconnect handler is at work.
    Leaving(Arc<Socket>),
}

impl Outside {
    pub(crate) fn socket(&self) -> &Arc<Socket> {
        match self {
            Self::Asked(admission) => admission.socket(),
            Self::Leaving(socket) => socket,
        }
    }
}

/// A client whose connect handler is at work. Whatever becomes of that, nothing is left behind of the client.
pub(crate) enum Asked {
    /// One that waits to be let in. When nobody decides, it is refused.
    Waiting(Arc<Bridge>, Arc<Socket>),
    /// One that was let in before its handler was asked. It may leave and come again, and be asked about as often.
    In(Weak<Socket>, #[expect(dead_code, reason = "it is dropped")] Credit),
}

impl Asked {
    pub(crate) fn waiting(bridge: &Arc<Bridge>, admission: Admission) -> Self {
        let socket = admission.socket().clone();
        bridge.keep_asked(admission);
        Self::Waiting(bridge.clone(), socket)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Self::Waiting(bridge, socket) = self {
            let admission = bridge.take_admission(socket);
            drop(admission);
        }
    }
}

impl Bridge {
    /// Asks the application about a client.
    pub(crate) fn connect(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        auth: &Payload,
        admission: Admission,
    ) -> PyResult<()> {
        let state = SocketState::attach(py, socket);
        if let Some(former) = socket.recovered() {
            state.restore_session(self.take_session(former));
        }
        let namespace = state.namespace.bind(py);
        if !turn.host.call_method1(py, intern!(py, "_decides"), (namespace,))?.is_truthy(py)? {
            let _ = self.write(py, |writes| admission.accept(writes));
            return Ok(());
        }
        let auth = if auth.is_empty() { py.None().into_bound(py) } else { self.json.value(py, auth)? };
        let asked = if self.manners.always_connect {
            if self.write(py, |writes| admission.accept(writes)).is_err() {
                return Ok(());
            }
            Asked::In(Arc::downgrade(socket), socket.credit())
        } else {
            Asked::waiting(self, admission)
        };
        let environ = state.environ(py, socket)?;
        let arguments = (state.sid.bind(py), namespace, environ, auth, socket.recovered().is_some());
        let coroutine = turn.host.bind(py).call_method1(intern!(py, "_connect"), arguments)?;
        // The events of a client that is in already wait until its connect handler is done.
        let lane = matches!(asked, Asked::In(..)).then_some(socket);
        self.start(py, turn, coroutine, Purpose::Admit(asked), lane)?;
        Ok(())
    }

    pub(crate) fn admit(self: &Arc<Self>, py: Python<'_>, asked: &Asked) -> PyResult<()> {
        let socket = match asked {
            Asked::Waiting(_, socket) => {
                let admission = self.take_admission(socket);
                let is_in = admission.is_some_and(|one| self.write(py, |writes| one.accept(writes)).is_ok());
                if !is_in {
                    return self.let_in_too_late(py, socket);
                }
                socket.clone()
            }
            Asked::In(socket, _) => {
                let Some(socket) = socket.upgrade() else { return Ok(()) };
                socket
            }
        };
        if SocketState::attach(py, &socket).is_out() {
            // Its own connect handler has put it out.
            for departure in self.write(py, |writes| socket.disconnect(false, writes)) {
                let what = Deferred::Departure(departure, socket.credit());
                self.handle(py, &*self.turn()?, &socket, what)?;
            }
        }
        Ok(())
    }

    pub(crate) fn refuse(
        self: &Arc<Self>,
        py: Python<'_>,
        asked: &Asked,
        message: &Bound<'_, PyString>,
        data: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Asked::Waiting(_, socket) = asked else {
            self.refuse_silently(py, asked);
            return Ok(());
        };
        let Some(admission) = self.take_admission(socket) else { return Ok(()) };
        // An error drops the admission, which refuses the client.
        let data = data.map(|data| self.json.text(&data, "data")).transpose()?;
        let message = message.to_string_lossy();
        self.write(py, |writes| admission.refuse(&message, data.as_deref(), writes));
        Ok(())
    }

    /// Keeps a client out, or puts it out if it was let in before it was asked about. It never was a socket for the
    /// application, which is not told of its end.
    pub(crate) fn refuse_silently(self: &Arc<Self>, py: Python<'_>, asked: &Asked) {
        // One that waits is refused because nobody has decided.
        let Asked::In(socket, _) = asked else { return };
        let Some(socket) = socket.upgrade() else { return };
        SocketState::attach(py, &socket).refuse();
        let departures = self.write(py, |writes| socket.disconnect(false, writes));
        drop(departures);
    }

    /// Takes note that a client has gone before it was let in. Its connect handler goes on.
    pub(crate) fn withdrawn(
        self: &Arc<Self>,
        py: Python<'_>,
        socket: &Arc<Socket>,
        reason: DisconnectReason,
    ) -> PyResult<()> {
        let state = SocketState::attach(py, socket);
        if let Some(admission) = self.take_admission(socket) {
            // Too late, which is not the same as a refusal: it may come back once more to what it had left.
            let _ = self.write(py, |writes| admission.accept(writes));
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
        let Ok(turn) = self.turn() else { return Ok(()) };
        let is_out = SocketState::attach(py, socket).is_out();
        let reason = if is_out { DisconnectReason::ServerNamespaceDisconnect } else { reason };
        let departure = Bound::new(py, Departure::outside(self, socket, reason))?;
        let coroutine = turn.host.bind(py).call_method1(intern!(py, "_withdrawn"), (departure,))?;
        if coroutine.is_none() {
            return Ok(());
        }
        self.start(py, &turn, coroutine, Purpose::None, None).map(drop)
    }

    /// Whether a client is not in, but known to its handlers.
    pub(crate) fn is_pending(&self, socket: &Socket) -> bool {
        self.pending.lock().contains_key(socket.id())
    }

    /// Keeps a client that is asked about.
    pub(crate) fn keep_asked(&self, admission: Admission) {
        let id = admission.socket().id().clone();
        let former = self.pending.lock().insert(id, Outside::Asked(admission));
        drop(former);
    }

    /// Keeps a client that leaves, unless it has come back meanwhile under the same id.
    pub(crate) fn keep_leaving(&self, socket: &Arc<Socket>) {
        let mut pending = self.pending.lock();
        pending.entry(socket.id().clone()).or_insert_with(|| Outside::Leaving(socket.clone()));
    }

    /// Forgets a client that is not in, if `is_meant` still holds.
    pub(crate) fn take_outside(
        &self,
        socket: &Arc<Socket>,
        is_meant: impl FnOnce(&Outside) -> bool,
    ) -> Option<Outside> {
        let mut pending = self.pending.lock();
        let client = pending.get(socket.id())?;
        if Arc::ptr_eq(client.socket(), socket) && is_meant(client) {
            pending.remove(socket.id())
        } else {
            None
        }
    }

    /// What takes the decision about a client whose connect handler is at work.
    pub(crate) fn take_admission(&self, socket: &Arc<Socket>) -> Option<Admission> {
        match self.take_outside(socket, |client| matches!(client, Outside::Asked(_))) {
            Some(Outside::Asked(admission)) => Some(admission),
            _ => None,
        }
    }
}
