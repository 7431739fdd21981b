//! The bridge between a server of the core and the event loop that runs its handlers.
//!
//! One bridge serves one server, on one event loop at a time. The loop is woken once for a batch; [`Bridge::drain`]
//! takes what has come, a bounded part in one turn, and has a handler started for each. What handlers emit during a
//! turn is put on the wire together at its end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use ferrio::{Events, HostEvent, Parser, Server, Socket, SocketKey, Writes};
use ferrio_host::{Acks, admin::Admin};
use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*, types::PyDict};

use crate::{
    ack_target::AckTarget,
    futures::Futures,
    lanes::InLine,
    process::Own,
    room::Rooms,
    sessions::Sessions,
    socket_state::SocketState,
    tasks::Tasks,
    unconnected::Unconnected,
    value::Json,
    waker::{Pipe, Waker},
};

/// The event loop at work, and what the bridge calls on it.
pub(crate) struct EventLoop {
    pub(crate) object: Py<PyAny>,
    /// The `AsyncServer`, which knows the handlers that are not plain functions.
    pub(crate) host: Py<PyAny>,
    pub(crate) call_soon: Py<PyAny>,
    /// Makes a task of a coroutine.
    pub(crate) start_task: Py<PyAny>,
    /// The server's own `flush` and `drain`, to be called later in a turn or in the next.
    pub(crate) flush: Py<PyAny>,
    pub(crate) drain: Py<PyAny>,
    /// The context variables that every handler starts with.
    pub(crate) context: Py<PyAny>,
    /// asyncio's own functions that say which task is at work.
    pub(crate) current_task: Py<PyAny>,
    pub(crate) enter_task: Py<PyAny>,
    pub(crate) leave_task: Py<PyAny>,
    pub(crate) thread: ThreadId,
    pub(crate) pipe: Arc<Pipe>,
}

/// How a server treats its clients' events.
#[derive(Clone, Copy)]
pub(crate) struct Behaviour {
    /// Whether the events of a client wait for each other.
    pub(crate) is_serial: bool,
    /// Whether clients are let in before their connect handler is asked.
    pub(crate) always_connect: bool,
    /// Whether clients may come back to what they left.
    pub(crate) recovers: bool,
    /// How long a client that has gone waits for the one handler that holds up its disconnect handler: as long as
    /// its silence would have been noticed at the latest.
    pub(crate) lane_timeout: Duration,
}

/// What connects a server of the core with the application.
pub(crate) struct Bridge {
    /// A handler may fork, and return in the child, too.
    process: Own<()>,
    pub(crate) server: Server,
    pub(crate) events: Events,
    pub(crate) json: Json,
    pub(crate) rooms: Rooms,
    /// Handlers by namespace and event: the server's own dictionary, looked at before anything else.
    pub(crate) handlers: Py<PyDict>,
    pub(crate) behaviour: Behaviour,
    /// Whether it is a server without Socket.IO.
    pub(crate) is_engine: bool,
    pub(crate) waker: Arc<Waker>,
    pub(crate) event_loop: Mutex<Option<Arc<EventLoop>>>,
    pub(crate) futures: Futures,
    pub(crate) writes: Mutex<Writes>,
    pub(crate) will_flush: AtomicBool,
    pub(crate) unconnected: Arc<Unconnected>,
    /// Clients whose events wait for a handler that was given up.
    pub(crate) freed_lanes: Mutex<Vec<Arc<dyn InLine>>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) acks: Acks<AckTarget>,
    /// Application sessions of clients that may come back. Each ends with a `Forget` of the core, or with the return.
    kept_sessions: Mutex<HashMap<SocketKey, Py<PyAny>>>,
    /// Events that were taken from the core and not handled in their turn.
    pub(crate) backlog: Mutex<VecDeque<HostEvent>>,
    /// Whether everybody is being put out: nothing but disconnects is handled any more.
    is_closing: AtomicBool,
    pub(crate) tasks: Tasks,
    /// What shows the server to admin clients, if anything does.
    pub(crate) admin: Mutex<Option<Admin>>,
}

impl Bridge {
    pub(crate) fn new(
        server: Server,
        events: Events,
        waker: Arc<Waker>,
        json: Json,
        rooms: Rooms,
        handlers: Py<PyDict>,
        behaviour: Behaviour,
    ) -> Self {
        let woken = waker.clone();
        let is_engine = server.config().parser == Parser::None;
        Self {
            process: Own::new(()),
            server,
            events,
            json,
            rooms,
            handlers,
            behaviour,
            is_engine,
            futures: Futures::new(move || woken.wake()),
            waker,
            event_loop: Mutex::default(),
            writes: Mutex::default(),
            will_flush: AtomicBool::new(false),
            unconnected: Arc::default(),
            freed_lanes: Mutex::default(),
            acks: Acks::default(),
            sessions: Arc::default(),
            kept_sessions: Mutex::default(),
            backlog: Mutex::default(),
            is_closing: AtomicBool::new(false),
            tasks: Tasks::new(),
            admin: Mutex::default(),
        }
    }

    /// Serves the server on another event loop from now on. Returns the descriptor that it has to watch.
    pub(crate) fn bind(
        &self,
        py: Python<'_>,
        event_loop: &Bound<'_, PyAny>,
        host: Py<PyAny>,
        start_task: Py<PyAny>,
        context: Py<PyAny>,
        server: &Bound<'_, PyAny>,
    ) -> PyResult<Arc<Pipe>> {
        let pipe = self.waker.open()?;
        let tasks = py.import("asyncio.tasks")?;
        let call_soon = event_loop.getattr(intern!(py, "call_soon"))?;
        let event_loop = EventLoop {
            host,
            start_task,
            flush: server.getattr(intern!(py, "flush"))?.unbind(),
            drain: server.getattr(intern!(py, "drain"))?.unbind(),
            context,
            current_task: tasks.getattr("current_task")?.unbind(),
            enter_task: tasks.getattr("_enter_task")?.unbind(),
            leave_task: tasks.getattr("_leave_task")?.unbind(),
            thread: thread::current().id(),
            pipe: pipe.clone(),
            object: event_loop.clone().unbind(),
            call_soon: call_soon.clone().unbind(),
        };
        call_soon.call1((event_loop.drain.bind(py),))?;
        self.will_flush.store(false, Ordering::Release);
        let former = self.event_loop.lock().replace(Arc::new(event_loop));
        drop(former);
        Ok(pipe)
    }

    /// Ends every connection.
    pub(crate) fn close(&self, py: Python<'_>) {
        self.is_closing.store(true, Ordering::Relaxed);
        self.refuse_undecided();
        self.end_admin();
        py.detach(|| self.server.close());
    }

    /// Shows the server to no admin client any more.
    pub(crate) fn end_admin(&self) {
        let former = self.admin.lock().take();
        drop(former);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    /// Whether a client is still listened to. Whoever is put out is not, not even to what came before.
    pub(crate) fn listens_to(&self, socket: &Socket) -> bool {
        !self.is_closing() && !SocketState::of(socket).is_some_and(SocketState::is_out)
    }

    /// Leaves the event loop. Returns the tasks of handlers that are still at work.
    pub(crate) fn unbind(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let at_work = self.tasks.end(py);
        self.clear();
        at_work
    }

    /// Forgets the event loop, with all that refers to it.
    pub(crate) fn clear(&self) {
        self.waker.close();
        let former = self.event_loop.lock().take();
        drop(former);
        self.tasks.clear();
    }

    pub(crate) fn event_loop(&self) -> PyResult<Arc<EventLoop>> {
        let event_loop = self.event_loop.lock().clone();
        event_loop.ok_or_else(|| PyRuntimeError::new_err("the server is not running on an event loop"))
    }

    /// For the garbage collector. What is locked is at work, and refers to nothing that can go.
    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.handlers)?;
        self.json.visit(visit)?;
        self.rooms.visit(visit)?;
        self.tasks.visit(visit)?;
        self.acks.try_visit(|target| {
            let (AckTarget::Callback(object, _) | AckTarget::One(object) | AckTarget::Many(object)) = target;
            visit.call(object)
        })?;
        let Some(event_loop) = self.event_loop.try_lock() else { return Ok(()) };
        let Some(event_loop) = &*event_loop else { return Ok(()) };
        for object in [
            &event_loop.object,
            &event_loop.host,
            &event_loop.call_soon,
            &event_loop.start_task,
            &event_loop.flush,
            &event_loop.drain,
            &event_loop.context,
        ] {
            visit.call(object)?;
        }
        Ok(())
    }

    /// Whether this is the process that it serves.
    pub(crate) fn is_here(&self) -> bool {
        self.process.get().is_some()
    }

    /// Keeps a client's session for its return, from the moment that its disconnect comes: the core may forget it while
    /// the disconnect handler is still at work.
    pub(crate) fn keep_session(&self, key: SocketKey, session: Py<PyAny>) {
        let former = self.kept_sessions.lock().insert(key, session);
        drop(former);
    }

    /// Replaces the session of a client that may still come back.
    pub(crate) fn update_session(&self, key: SocketKey, mut session: Py<PyAny>) {
        if let Some(kept) = self.kept_sessions.lock().get_mut(&key) {
            std::mem::swap(kept, &mut session);
        }
    }

    /// Takes the session of a client that has come back, or never will.
    pub(crate) fn take_session(&self, key: SocketKey) -> Option<Py<PyAny>> {
        self.kept_sessions.lock().remove(&key)
    }

    /// How much of each kind is kept for clients, handlers and acks.
    pub(crate) fn held(&self) -> [(&'static str, usize); 7] {
        [
            ("pending", self.unconnected.len()),
            ("freed", self.freed_lanes.lock().len()),
            ("acks", self.acks.len()),
            ("engine", self.sessions.len()),
            ("sessions", self.kept_sessions.lock().len()),
            ("backlog", self.backlog.lock().len()),
            ("kept", self.tasks.n_waiting()),
        ]
    }
}
