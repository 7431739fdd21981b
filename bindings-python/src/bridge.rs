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
    time::{Duration, Instant},
};

use ferrio::{Admission, Events, HostEvent, Server, Socket, SocketKey, Writes};
use ferrio_host::{Acks, TURN_EVENTS};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyException, PyRuntimeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::PyDict,
};

use crate::{
    error,
    handling::{Reserve, Stepper},
    pending::{self, Futures},
    process::Own,
    room::Rooms,
    socket::SocketState,
    value::Json,
    waker::{Pipe, Waker},
};

pyo3::import_exception!(asyncio, CancelledError);

/// The time that the events of one turn of the loop may take: beyond, the application's own timers and requests
/// come first.
const TURN_TIME: Duration = Duration::from_millis(4);

/// How many are taken from the core at once, between two looks at the clock.
const BATCH: usize = 32;

/// The event loop at work, and what the bridge calls on it.
pub(crate) struct Turn {
    pub(crate) event_loop: Py<PyAny>,
    /// The `AsyncServer`, which knows the handlers that are not plain functions.
    pub(crate) host: Py<PyAny>,
    call_soon: Py<PyAny>,
    /// Makes a task of a coroutine.
    pub(crate) start_task: Py<PyAny>,
    /// The server's own `flush` and `drain`, to be called later in a turn or in the next.
    flush: Py<PyAny>,
    drain: Py<PyAny>,
    /// The context variables that every handler starts with.
    pub(crate) context: Py<PyAny>,
    /// asyncio's own functions that say which task is at work.
    current_task: Py<PyAny>,
    pub(crate) enter_task: Py<PyAny>,
    pub(crate) leave_task: Py<PyAny>,
    thread: ThreadId,
    pipe: Arc<Pipe>,
}

/// Who waits for an ack.
pub(crate) enum AckTarget {
    /// A callback, which gets the arguments, unless the client was put out meanwhile.
    Callback(Py<PyAny>, Arc<Socket>),
    /// A future for one answer.
    One(Py<PyAny>),
    /// A future for the answers of many.
    Many(Py<PyAny>),
}

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

/// How a server treats its clients' events.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    /// Whether the events of a client wait for each other.
    pub(crate) is_serial: bool,
    /// Whether clients are let in before their connect handler is asked.
    pub(crate) always_connect: bool,
    /// Whether clients may come back to what they left.
    pub(crate) recovers: bool,
    /// How long a client that has gone waits for the one handler that holds up its disconnect handler: as long as
    /// its silence would have been noticed at the latest.
    pub(crate) patience: Duration,
}

/// What connects a server of the core with the application.
pub(crate) struct Bridge {
    /// A handler may fork, and return in the child, too.
    process: Own<()>,
    pub(crate) server: Server,
    events: Events,
    pub(crate) json: Json,
    pub(crate) rooms: Rooms,
    /// Handlers by namespace and event: the server's own dictionary, looked at before anything else.
    pub(crate) handlers: Py<PyDict>,
    pub(crate) manners: Manners,
    pub(crate) waker: Arc<Waker>,
    turn: Mutex<Option<Arc<Turn>>>,
    pub(crate) futures: Futures,
    writes: Mutex<Writes>,
    will_flush: AtomicBool,
    /// Clients that are not in, or not any more, by their ids.
    pub(crate) pending: Mutex<HashMap<Arc<str>, Outside>>,
    /// Clients whose events wait for a handler that was given up.
    freed: Mutex<Vec<Arc<Socket>>>,
    pub(crate) acks: Acks<AckTarget>,
    /// Application sessions of clients that may come back. Each ends with a `Forget` of the core, or with the return.
    sessions: Mutex<HashMap<SocketKey, Py<PyAny>>>,
    /// Events that were taken from the core and not handled in their turn.
    backlog: Mutex<VecDeque<HostEvent>>,
    /// Whether everybody is being put out: nothing but disconnects is handled any more.
    is_closing: AtomicBool,
    /// Whether no task is at work, so that handlers may take their first steps.
    may_step: AtomicBool,
    reserve: Mutex<Option<Reserve>>,
    stepper: PyOnceLock<Py<Stepper>>,
    /// Tasks that wait, by the addresses of their coroutines: asyncio alone would not keep them.
    kept: Mutex<HashMap<usize, Py<PyAny>>>,
}
impl Bridge {
    pub(crate) fn new(
        server: Server,
        events: Events,
        waker: Arc<Waker>,
        json: Json,
        rooms: Rooms,
        handlers: Py<PyDict>,
        manners: Manners,
    ) -> Self {
        let woken = waker.clone();
        Self {
            process: Own::new(()),
            server,
            events,
            json,
            rooms,
            handlers,
            manners,
            futures: Futures::new(move || woken.wake()),
            waker,
            turn: Mutex::default(),
            writes: Mutex::default(),
            will_flush: AtomicBool::new(false),
            pending: Mutex::default(),
            freed: Mutex::default(),
            acks: Acks::default(),
            sessions: Mutex::default(),
            backlog: Mutex::default(),
            is_closing: AtomicBool::new(false),
            may_step: AtomicBool::new(false),
            reserve: Mutex::default(),
            stepper: PyOnceLock::new(),
            kept: Mutex::default(),
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
        let turn = Turn {
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
            event_loop: event_loop.clone().unbind(),
            call_soon: call_soon.clone().unbind(),
        };
        call_soon.call1((turn.drain.bind(py),))?;
        self.will_flush.store(false, Ordering::Release);
        let former = self.turn.lock().replace(Arc::new(turn));
        drop(former);
        Ok(pipe)
    }

    /// Ends every connection.
    pub(crate) fn close(&self, py: Python<'_>) {
        self.is_closing.store(true, Ordering::Relaxed);
        py.detach(|| self.server.close());
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
        let reserve = self.reserve.lock().take();
        if let Some(reserve) = reserve {
            reserve.end(py);
        }
        let at_work = std::mem::take(&mut *self.kept.lock());
        self.clear();
        at_work.into_values().collect()
    }

    /// Forgets the event loop, with all that refers to it.
    pub(crate) fn clear(&self) {
        self.waker.close();
        let former = self.turn.lock().take();
        let reserve = self.reserve.lock().take();
        let kept = std::mem::take(&mut *self.kept.lock());
        drop((former, reserve, kept));
    }

    pub(crate) fn turn(&self) -> PyResult<Arc<Turn>> {
        let turn = self.turn.lock().clone();
        turn.ok_or_else(|| PyRuntimeError::new_err("the server is not running on an event loop"))
    }

    /// For the garbage collector. What is locked is at work, and refers to nothing that can go.
    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.handlers)?;
        self.json.visit(visit)?;
        self.rooms.visit(visit)?;
        if let Some(reserve) = self.reserve.try_lock()
            && let Some(reserve) = &*reserve
        {
            reserve.visit(visit)?;
        }
        for task in self.kept.try_lock().iter().flat_map(|kept| kept.values()) {
            visit.call(task)?;
        }
        self.acks.try_visit(|target| {
            let (AckTarget::Callback(object, _) | AckTarget::One(object) | AckTarget::Many(object)) = target;
            visit.call(object)
        })?;
        let Some(turn) = self.turn.try_lock() else { return Ok(()) };
        let Some(turn) = &*turn else { return Ok(()) };
        for object in [
            &turn.event_loop,
            &turn.host,
            &turn.call_soon,
            &turn.start_task,
            &turn.flush,
            &turn.drain,
            &turn.context,
        ] {
            visit.call(object)?;
        }
        Ok(())
    }

    /// Takes what has come and starts the handlers for it. Returns whether more waits for the next turn.
    pub(crate) fn drain(self: &Arc<Self>, py: Python<'_>) -> PyResult<bool> {
        let Ok(turn) = self.turn() else { return Ok(false) };
        self.waker.reset(&turn.pipe);
        self.will_flush.store(true, Ordering::Release);
        self.futures.stay_awake();
        // A shutdown drains from inside of a task.
        let is_outermost = turn.current_task.call1(py, (&turn.event_loop,))?.is_none(py);
        let could_step = self.may_step.swap(is_outermost, Ordering::Relaxed);
        let outcome = self.take_turn(py, &turn);
        self.may_step.store(could_step, Ordering::Relaxed);
        if is_outermost {
            self.flush(py);
        } else {
            turn.call_soon.call1(py, (&turn.flush,))?;
        }
        if !matches!(outcome, Ok(false)) {
            turn.call_soon.call1(py, (&turn.drain,))?;
        }
        outcome
    }

    fn take_turn(self: &Arc<Self>, py: Python<'_>, turn: &Turn) -> PyResult<bool> {
        let started = Instant::now();
        loop {
            let freed = self.freed.lock().pop();
            let Some(socket) = freed else { break };
            self.next_in_lane(py, &socket)?;
        }
        let mut batch = Vec::new();
        let mut core_has_more = true;
        for n_taken in 0.. {
            let is_over = n_taken >= TURN_EVENTS || started.elapsed() > TURN_TIME;
            let next = self.backlog.lock().pop_front();
            let event = match next {
                Some(event) if is_over => {
                    self.backlog.lock().push_front(event);
                    return Ok(true);
                }
                Some(event) => event,
                None if !core_has_more || is_over => break,
                None => {
                    core_has_more = self.events.drain(BATCH, &mut batch);
                    self.backlog.lock().extend(batch.drain(..));
                    continue;
                }
            };
            if let Err(error) = self.dispatch(py, turn, event)
                && !error.is_instance_of::<CancelledError>(py)
            {
                self.report(py, error)?;
            }
        }
        Ok(core_has_more)
    }

    /// Reports what a handler raised, as asyncio does for a task that nobody waits for. What ends a task or the
    /// process comes back.
    pub(crate) fn report(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        match self.turn() {
            Ok(turn) => {
                error::report(py, turn.event_loop.bind(py), "a Socket.IO handler raised an exception", error);
            }
            Err(_) => error.write_unraisable(py, None),
        }
        Ok(())
    }

    /// Whether this is the process that it serves.
    pub(crate) fn is_here(&self) -> bool {
        self.process.get().is_some()
    }

    /// Puts on the wire what was emitted, and answers the requests that waited for it.
    pub(crate) fn flush(&self, py: Python<'_>) {
        if !self.is_here() {
            return;
        }
        self.will_flush.store(false, Ordering::Release);
        let mut writes = std::mem::take(&mut *self.writes.lock());
        py.detach(|| writes.finish());
        pending::run_ready(py, &self.futures);
    }

    /// Lends the batch of this turn to something that sends, and sees to it that it is flushed.
    pub(crate) fn write<R>(&self, py: Python<'_>, send: impl FnOnce(&mut Writes) -> R) -> R {
        let turn = self.turn.lock().clone().filter(|turn| turn.thread == thread::current().id());
        if let Some(turn) = turn {
            let will_flush = self.will_flush.swap(true, Ordering::AcqRel);
            if will_flush || turn.call_soon.call1(py, (&turn.flush,)).is_ok() {
                if !will_flush {
                    self.futures.stay_awake();
                }
                return send(&mut self.writes.lock());
            }
            // A loop that is closed takes no more calls.
            self.will_flush.store(false, Ordering::Release);
        }
        let mut writes = Writes::new();
        let result = send(&mut writes);
        py.detach(move || drop(writes));
        result
    }

    /// A task that idles.
    pub(crate) fn reserve(self: &Arc<Self>, py: Python<'_>, turn: &Turn) -> PyResult<Reserve> {
        let reserve = self.reserve.lock().take();
        match reserve {
            Some(reserve) if reserve.is_fit(py)? => Ok(reserve),
            _ => Reserve::new(py, self, turn),
        }
    }

    pub(crate) fn put_back(&self, reserve: Reserve) {
        let former = self.reserve.lock().replace(reserve);
        drop(former);
    }

    /// Whether a handler may take its first step at once.
    pub(crate) fn may_step(&self) -> bool {
        self.may_step.load(Ordering::Relaxed)
    }

    /// What takes the steps of coroutines.
    pub(crate) fn stepper<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, Stepper>> {
        Ok(self.stepper.get_or_try_init(py, || Py::new(py, Stepper::default()))?.bind(py))
    }

    /// Keeps a task alive while it waits.
    pub(crate) fn keep(&self, handling: usize, task: Py<PyAny>) {
        let former = self.kept.lock().insert(handling, task);
        drop(former);
    }

    pub(crate) fn let_go(&self, handling: usize) {
        let task = self.kept.lock().remove(&handling);
        drop(task);
    }

    /// Keeps a client's session for its return, from the moment that its departure comes: the core may forget it while
    /// the disconnect handler is still at work.
    pub(crate) fn keep_session(&self, key: SocketKey, session: Py<PyAny>) {
        let former = self.sessions.lock().insert(key, session);
        drop(former);
    }

    /// Replaces the session of a client that may still come back.
    pub(crate) fn update_session(&self, key: SocketKey, mut session: Py<PyAny>) {
        if let Some(kept) = self.sessions.lock().get_mut(&key) {
            std::mem::swap(kept, &mut session);
        }
    }

    /// Takes the session of a client that has come back, or never will.
    pub(crate) fn take_session(&self, key: SocketKey) -> Option<Py<PyAny>> {
        self.sessions.lock().remove(&key)
    }

    /// Has the loop go on with the events of a client, later.
    pub(crate) fn free_lane(&self, socket: Arc<Socket>) {
        self.freed.lock().push(socket);
        self.waker.wake();
    }

    /// How much of each kind is kept for clients, handlers and acks.
    pub(crate) fn held(&self) -> [(&'static str, usize); 6] {
        [
            ("pending", self.pending.lock().len()),
            ("freed", self.freed.lock().len()),
            ("acks", self.acks.len()),
            ("sessions", self.sessions.lock().len()),
            ("backlog", self.backlog.lock().len()),
            ("kept", self.kept.lock().len()),
        ]
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
