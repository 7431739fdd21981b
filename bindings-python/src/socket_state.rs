//! What Python keeps with a socket.

use std::sync::atomic::{AtomicBool, Ordering};

use ferrio::{Ack, Credit, DisconnectReason, Payload, Socket};
use parking_lot::Mutex;
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyString},
};

use crate::{lane::Lane, request::Handshake};

/// What Python keeps with a socket, in the core's slot for it.
pub(crate) struct SocketState {
    pub(crate) sid: Py<PyString>,
    pub(crate) namespace: Py<PyString>,
    /// The application's session, once it was asked for.
    session: Mutex<Option<Py<PyAny>>>,
    /// The environment, once a handler got it.
    environ: Mutex<Option<Py<PyAny>>>,
    pub(crate) lane: Lane<Deferred>,
    /// What becomes of a client that has gone before it was let in.
    withdrawal: Mutex<Withdrawal>,
    /// Whether the application has put the client out: of what came before that and waits, nothing is handled any more.
    is_out: AtomicBool,
    /// Whether it was refused after it had been let in: the application does not hear of its end.
    is_refused: AtomicBool,
}

/// Its disconnect is handled when two things have happened, whichever comes first.
#[derive(Default, Clone, Copy)]
enum Withdrawal {
    #[default]
    None,
    /// The client has gone.
    Disconnected(DisconnectReason),
    /// Its connect handler has let it in.
    LetIn,
}

impl SocketState {
    /// The state of a socket, made when it is first asked for.
    pub(crate) fn attach<'a>(py: Python<'_>, socket: &'a Socket) -> &'a Self {
        let slot = socket.slot().get_or_init(|| {
            Box::new(Self {
                sid: PyString::new(py, socket.id()).unbind(),
                namespace: namespace_name(py, socket.namespace().name()).unbind(),
                session: Mutex::default(),
                environ: Mutex::default(),
                lane: Lane::default(),
                withdrawal: Mutex::default(),
                is_out: AtomicBool::new(false),
                is_refused: AtomicBool::new(false),
            })
        });
        slot.downcast_ref().expect("the slot holds what this function puts into it")
    }

    /// The state of a socket that has one.
    pub(crate) fn of(socket: &Socket) -> Option<&Self> {
        socket.slot().get()?.downcast_ref()
    }

    /// The environment, whose content is read when somebody looks at it.
    pub(crate) fn environ<'py>(&self, py: Python<'py>, socket: &Socket) -> PyResult<Bound<'py, PyAny>> {
        static ENVIRON: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if let Some(environ) = &*self.environ.lock() {
            return Ok(environ.bind(py).clone());
        }
        let handshake = Bound::new(py, Handshake(socket.handshake().clone()))?;
        let environ = ENVIRON.import(py, "ferrio.environ", "Environ")?.call1((handshake,))?;
        Ok(first(&self.environ, &environ))
    }

    pub(crate) fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        if let Some(session) = &*self.session.lock() {
            return session.bind(py).clone();
        }
        // Making one may run the garbage collector, and with it code of the application that asks for this session.
        first(&self.session, &PyDict::new(py))
    }

    pub(crate) fn restore_session(&self, session: Option<Py<PyAny>>) {
        let former = std::mem::replace(&mut *self.session.lock(), session);
        drop(former);
    }

    pub(crate) fn take_session(&self) -> Option<Py<PyAny>> {
        self.session.lock().take()
    }

    /// Takes note that the client was put out, and is no longer listened to.
    pub(crate) fn put_out(&self) {
        self.is_out.store(true, Ordering::Relaxed);
    }

    /// Takes note that it never was a client for the application.
    pub(crate) fn refuse(&self) {
        self.is_refused.store(true, Ordering::Relaxed);
        self.put_out();
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    pub(crate) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Takes note that the client has gone. Returns whether its connect handler has let it in.
    pub(crate) fn withdraw(&self, reason: DisconnectReason) -> bool {
        let former = std::mem::replace(&mut *self.withdrawal.lock(), Withdrawal::Disconnected(reason));
        matches!(former, Withdrawal::LetIn)
    }

    /// Takes note that the connect handler has let it in, which has gone. Returns why, if that is known.
    pub(crate) fn let_in_too_late(&self) -> Option<DisconnectReason> {
        match std::mem::replace(&mut *self.withdrawal.lock(), Withdrawal::LetIn) {
            Withdrawal::Disconnected(reason) => Some(reason),
            Withdrawal::None | Withdrawal::LetIn => None,
        }
    }
}

/// The name of a namespace; nearly always the one that exists once and for all.
fn namespace_name<'py>(py: Python<'py>, name: &str) -> Bound<'py, PyString> {
    if name == "/" { intern!(py, "/").clone() } else { PyString::new(py, name) }
}

/// Keeps a value, unless another was kept meanwhile, and returns the one that is kept.
pub(crate) fn first<'py>(slot: &Mutex<Option<Py<PyAny>>>, value: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    slot.lock().get_or_insert_with(|| value.clone().unbind()).bind(value.py()).clone()
}

/// Something of a socket that may have to wait for the handler before.
pub(crate) enum Deferred {
    Event(Payload, Option<Ack>, Credit),
    DisconnectedSocket(ferrio::DisconnectedSocket, Credit),
}
