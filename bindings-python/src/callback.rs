//! The only place that enters the interpreter: what the core tells becomes calls of the application's handlers.
//!
//! One bridge serves one server, on one event loop at a time. The loop is woken once for a batch; [`Bridge::drain`]
//! takes what has come, a bounded part in one turn, and starts a handler for each. What handlers emit during a turn
//! is put on the wire together at its end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use ferrio::{
    AckOutcome, AckRequest, AckStatus, Admission, Events, HostEvent, Payload, Reply, Server, Socket,
    SocketKey, Writes,
};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyException, PyRuntimeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyList, PyString, PyTuple, iterator::PySendResult},
};

use crate::{
    error,
    handling::{self, Handling, Purpose, Reserve, Stepper, Work},
    pending::{Ready, settle},
    request,
    socket::{Deferred, Departure, SocketState},
    value::{self, Json},
    waker::{Pipe, Waker},
};

pyo3::import_exception!(asyncio, CancelledError);

/// Events of one turn of the loop, and the time they may take: beyond, the application's own timers and requests
/// come first.
const TURN_EVENTS: usize = 256;
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
    context: Py<PyAny>,
    /// asyncio's own functions that say which task is at work.
    current_task: Py<PyAny>,
    enter_task: Py<PyAny>,
    leave_task: Py<PyAny>,
    thread: ThreadId,
    pipe: Arc<Pipe>,
}

/// Who waits for an ack.
pub(crate) enum AckTarget {
    /// A callback, which gets the arguments.
    Callback(Py<PyAny>),
    /// A future for one answer.
    One(Py<PyAny>),
    /// A future for the answers of many.
    Many(Py<PyAny>),
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
}

/// What connects a server of the core with the application.
pub(crate) struct Bridge {
    server: Server,
    events: Events,
    pub(crate) json: Json,
    /// Handlers by namespace and event: the server's own dictionary, looked at before anything else.
    handlers: Py<PyDict>,
    pub(crate) manners: Manners,
    waker: Arc<Waker>,
    turn: Mutex<Option<Arc<Turn>>>,
    pub(crate) ready: Arc<Ready>,
    writes: Mutex<Writes>,
    will_flush: AtomicBool,
    /// Clients whose connect handler has not decided yet: they are in no room, but their handler may use them.
    pub(crate) pending: Mutex<HashMap<Arc<str>, Arc<Socket>>>,
    acks: Mutex<HashMap<u64, AckTarget>>,
    next_token: AtomicU64,
    /// Application sessions of clients that may come back.
    pub(crate) sessions: Mutex<HashMap<SocketKey, Py<PyAny>>>,
    /// Events that were taken from the core and not handled in their turn.
    backlog: Mutex<VecDeque<HostEvent>>,
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
        handlers: Py<PyDict>,
        manners: Manners,
    ) -> Self {
        Self {
            server,
            events,
            json,
            handlers,
            manners,
            ready: Arc::new(Ready::new(waker.clone())),
            waker,
            turn: Mutex::default(),
            writes: Mutex::default(),
            will_flush: AtomicBool::new(false),
            pending: Mutex::default(),
            acks: Mutex::default(),
            next_token: AtomicU64::new(0),
            sessions: Mutex::default(),
            backlog: Mutex::default(),
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

    /// Leaves the event loop.
    pub(crate) fn unbind(&self, py: Python<'_>) {
        self.waker.close();
        let reserve = self.reserve.lock().take();
        if let Some(reserve) = reserve {
            reserve.end(py);
        }
        let former = self.turn.lock().take();
        let kept = std::mem::take(&mut *self.kept.lock());
        drop((former, kept));
    }

    pub(crate) fn turn(&self) -> PyResult<Arc<Turn>> {
        let turn = self.turn.lock().clone();
        turn.ok_or_else(|| PyRuntimeError::new_err("the server is not running on an event loop"))
    }

    /// For the garbage collector: what the loop's part refers to.
    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.handlers)?;
        let Some(turn) = self.turn.try_lock() else { return Ok(()) };
        let Some(turn) = &*turn else { return Ok(()) };
        for object in
            [&turn.event_loop, &turn.host, &turn.call_soon, &turn.start_task, &turn.flush, &turn.drain]
        {
            visit.call(object)?;
        }
        Ok(())
    }

    /// Takes what has come and starts the handlers for it. Returns whether more waits for the next turn.
    pub(crate) fn drain(self: &Arc<Self>, py: Python<'_>) -> PyResult<bool> {
        let Ok(turn) = self.turn() else { return Ok(false) };
        self.waker.reset(&turn.pipe);
        self.will_flush.store(true, Ordering::Release);
        self.ready.stay_awake();
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
                error::report(py, turn.event_loop.bind(py), "a Socket.IO handler raised an exception", error)
            }
            Err(_) => error.write_unraisable(py, None),
        }
        Ok(())
    }

    /// Puts on the wire what was emitted, and answers the requests that waited for it.
    pub(crate) fn flush(&self, py: Python<'_>) {
        self.will_flush.store(false, Ordering::Release);
        let mut writes = std::mem::take(&mut *self.writes.lock());
        py.detach(|| writes.finish());
        self.ready.poll(py);
    }

    /// Lends the batch of this turn to something that sends, and sees to it that it is flushed.
    pub(crate) fn write<R>(&self, py: Python<'_>, send: impl FnOnce(&mut Writes) -> R) -> R {
        let turn = self.turn.lock().clone().filter(|turn| turn.thread == thread::current().id());
        if let Some(turn) = turn {
            let will_flush = self.will_flush.swap(true, Ordering::AcqRel);
            if will_flush || turn.call_soon.call1(py, (&turn.flush,)).is_ok() {
                if !will_flush {
                    self.ready.stay_awake();
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

    fn dispatch(self: &Arc<Self>, py: Python<'_>, turn: &Turn, event: HostEvent) -> PyResult<()> {
        match event {
            HostEvent::Event { socket, payload, reply } => {
                self.enter_lane(py, turn, &socket, Deferred::Event(payload, reply))
            }
            HostEvent::Connect { socket, auth, admission } => {
                self.connect(py, turn, &socket, &auth, admission)
            }
            HostEvent::Disconnect(departure) => {
                let socket = departure.socket().clone();
                self.enter_lane(py, turn, &socket, Deferred::Departure(departure))
            }
            HostEvent::Ack { token, outcome } => self.acked(py, turn, token, outcome),
            HostEvent::Origin { head, answer } => {
                let environ = request::environ(py, &head)?;
                let origin = head.header("origin").unwrap_or_default();
                let allowed = turn
                    .host
                    .call_method1(py, intern!(py, "_allow_origin"), (origin, environ))?
                    .is_truthy(py)?;
                answer.send(request::origin_decision(allowed));
                Ok(())
            }
            HostEvent::Namespace { name, answer, .. } => {
                self.server.namespace(&name);
                answer.send(true);
                Ok(())
            }
            HostEvent::Forget { key } => {
                let session = self.sessions.lock().remove(&key);
                drop(session);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks the application about a client.
    fn connect(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        auth: &Payload,
        admission: Admission,
    ) -> PyResult<()> {
        let state = SocketState::attach(py, socket);
        if let Some(former) = socket.recovered() {
            let session = self.sessions.lock().remove(&former);
            state.restore_session(session);
        }
        let namespace = state.namespace.bind(py);
        if !turn.host.call_method1(py, intern!(py, "_decides"), (namespace,))?.is_truthy(py)? {
            let _ = self.write(py, |writes| admission.accept(writes));
            return Ok(());
        }
        let auth =
            if auth.is_empty() { py.None().into_bound(py) } else { self.json.parse(py, auth.text())? };
        let admission = if self.manners.always_connect {
            if self.write(py, |writes| admission.accept(writes)).is_err() {
                return Ok(());
            }
            None
        } else {
            self.pending.lock().insert(socket.id().clone(), socket.clone());
            Some(admission)
        };
        let environ = state.environ(py, socket)?;
        let arguments = (state.sid.bind(py), namespace, environ, auth, socket.recovered().is_some());
        let coroutine = turn.host.bind(py).call_method1(intern!(py, "_connect"), arguments)?;
        // The events of a client that is in already wait until its connect handler is done.
        let lane = admission.is_none().then(|| socket.clone());
        self.start(py, turn, coroutine, Purpose::Admit(admission, socket.clone()), lane)?;
        Ok(())
    }

    /// Starts the handler of an event, or keeps the event until the one before is done.
    fn enter_lane(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        what: Deferred,
    ) -> PyResult<()> {
        match SocketState::attach(py, socket).queue_in_lane(what) {
            None => Ok(()),
            Some(what) => self.handle(py, turn, socket, what).map(drop),
        }
    }

    /// Goes on with the events that waited for a handler.
    pub(crate) fn next_in_lane(self: &Arc<Self>, py: Python<'_>, socket: &Arc<Socket>) {
        let (Some(state), Ok(turn)) = (SocketState::of(socket), self.turn()) else { return };
        while let Some(what) = state.next_in_lane() {
            match self.handle(py, &turn, socket, what) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    if let Err(error) = self.report(py, error) {
                        error.write_unraisable(py, None);
                    }
                }
            }
        }
    }

    /// Starts the handler of an event. Returns whether the lane has to wait for it.
    fn handle(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        what: Deferred,
    ) -> PyResult<bool> {
        match what {
            Deferred::Event(payload, reply) => self.event(py, turn, socket, &payload, reply),
            Deferred::Departure(departure) => {
                let departure = Bound::new(py, Departure::new(self, departure))?;
                let coroutine =
                    turn.host.bind(py).call_method1(intern!(py, "_disconnected"), (departure,))?;
                if coroutine.is_none() {
                    return Ok(false);
                }
                self.start(py, turn, coroutine, Purpose::None, None)?;
                Ok(false)
            }
        }
    }

    fn event(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        payload: &Payload,
        reply: Option<Reply>,
    ) -> PyResult<bool> {
        let state = SocketState::attach(py, socket);
        let values = self.json.values(py, payload)?;
        let name = values.get_item(0)?.cast_into::<PyString>()?;
        let Some((handler, prefix)) = self.handler(py, turn, state.namespace.bind(py), &name)? else {
            return Ok(false);
        };
        let mut arguments = Vec::with_capacity(values.len() + 2);
        arguments.extend(prefix.iter().flat_map(|prefix| prefix.iter()));
        arguments.push(state.sid.bind(py).clone().into_any());
        arguments.extend(values.iter().skip(1));
        let arguments = PyTuple::new(py, arguments)?;
        let result = if is_coroutine_function(&handler) {
            handler.call1(arguments)?
        } else {
            // What it sets in context variables is not seen by other handlers.
            let context = turn.context.call_method0(py, intern!(py, "copy"))?;
            let run = context.bind(py).getattr(intern!(py, "run"))?;
            let arguments = std::iter::once(handler).chain(arguments.iter()).collect::<Vec<_>>();
            run.call1(PyTuple::new(py, arguments)?)?
        };
        let purpose = reply.map_or(Purpose::None, Purpose::Answer);
        if !is_awaitable(&result)? {
            self.use_result(py, purpose, Ok(result))?;
            return Ok(false);
        }
        let lane = self.manners.is_serial.then(|| socket.clone());
        Ok(self.start(py, turn, result, purpose, lane)? && self.manners.is_serial)
    }

    /// The handler for an event, and what it gets before the socket's id.
    fn handler<'py>(
        &self,
        py: Python<'py>,
        turn: &Turn,
        namespace: &Bound<'py, PyString>,
        event: &Bound<'py, PyString>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Option<Bound<'py, PyTuple>>)>> {
        if let "connect" | "disconnect" = event.to_str().unwrap_or_default() {
            // Names of the server's own events: a client must not reach their handlers by an event of its own.
            return Ok(None);
        }
        if let Some(handlers) = self.handlers.bind(py).get_item(namespace)?
            && let Some(handler) = handlers.cast::<PyDict>()?.get_item(event)?
        {
            return Ok(Some((handler, None)));
        }
        let found = turn.host.bind(py).call_method1(intern!(py, "_find_handler"), (event, namespace))?;
        found.extract()
    }

    /// Runs a coroutine, see `handling`. Returns whether it waits for something.
    fn start(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        coroutine: Bound<'_, PyAny>,
        purpose: Purpose,
        lane: Option<Arc<Socket>>,
    ) -> PyResult<bool> {
        let is_coroutine = coroutine.get_type().hasattr(intern!(py, "send"))?;
        let coroutine =
            if is_coroutine { coroutine } else { coroutine.call_method0(intern!(py, "__await__"))? };
        let context = turn.context.call_method0(py, intern!(py, "copy"))?;
        let work = Work { coroutine: coroutine.unbind(), context, purpose, lane };
        if !self.may_step.load(Ordering::Relaxed) {
            occupy_lane(&work);
            let handling = Py::new(py, Handling::new(self, work))?;
            let task = turn.start_task.call1(py, (&handling,))?;
            if !handling.get().is_done() {
                self.keep(handling.as_ptr() as usize, task);
            }
            return Ok(true);
        }
        let reserve = self.reserve(py, turn)?;
        turn.enter_task.call1(py, (&turn.event_loop, &reserve.task))?;
        let step = handling::step(self, work.context.bind(py), work.coroutine.bind(py));
        turn.leave_task.call1(py, (&turn.event_loop, &reserve.task))?;
        let result = match step {
            Ok(PySendResult::Next(awaited)) => {
                occupy_lane(&work);
                reserve.hand_over(py, work, awaited)?;
                return Ok(true);
            }
            Ok(PySendResult::Return(value)) => Ok(value),
            Err(error) => Err(error),
        };
        *self.reserve.lock() = Some(reserve);
        self.use_result(py, work.purpose, result)?;
        Ok(false)
    }

    /// A task that idles.
    fn reserve(self: &Arc<Self>, py: Python<'_>, turn: &Turn) -> PyResult<Reserve> {
        let reserve = self.reserve.lock().take();
        match reserve {
            Some(reserve) if reserve.is_fit(py)? => Ok(reserve),
            _ => Reserve::new(py, self, turn),
        }
    }

    pub(crate) fn stepper<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, Stepper>> {
        Ok(self.stepper.get_or_try_init(py, || Py::new(py, Stepper::default()))?.bind(py))
    }

    /// Keeps a task alive while it waits.
    pub(crate) fn keep(&self, handling: usize, task: Py<PyAny>) {
        self.kept.lock().insert(handling, task);
    }

    pub(crate) fn let_go(&self, handling: usize) {
        let task = self.kept.lock().remove(&handling);
        drop(task);
    }

    /// Does with a handler's result what it is for.
    pub(crate) fn use_result(
        self: &Arc<Self>,
        py: Python<'_>,
        purpose: Purpose,
        result: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        match purpose {
            Purpose::None => result.map(drop),
            Purpose::Answer(reply) => {
                let answer = self.json.answer(&result?)?;
                self.write(py, |writes| reply.send(&answer, writes));
                Ok(())
            }
            Purpose::Admit(admission, socket) => {
                self.pending.lock().remove(socket.id());
                // An error drops the admission, which refuses the client; it was reported where it came up.
                let refusal: Option<(String, Option<Bound<'_, PyAny>>)> = result?.extract()?;
                self.admit(py, admission, &socket, refusal)
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        py: Python<'_>,
        admission: Option<Admission>,
        socket: &Arc<Socket>,
        refusal: Option<(String, Option<Bound<'_, PyAny>>)>,
    ) -> PyResult<()> {
        match (admission, refusal) {
            (None, None) => {}
            (Some(admission), None) => {
                // A client that has gone meanwhile never was a socket.
                let _ = self.write(py, |writes| admission.accept(writes));
            }
            (Some(admission), Some((message, data))) => {
                let data = data.map(|data| self.json.text(&data, "data")).transpose()?;
                self.write(py, |writes| admission.refuse(&message, data.as_deref(), writes));
            }
            (None, Some(_)) => {
                let departures = self.write(py, |writes| socket.disconnect(false, writes));
                drop(departures);
            }
        }
        Ok(())
    }

    /// Whether a client's connect handler has not decided yet.
    pub(crate) fn is_pending(&self, socket: &Socket) -> bool {
        self.pending.lock().contains_key(socket.id())
    }

    /// Notes who waits for an ack.
    pub(crate) fn expect_ack(&self, target: AckTarget, timeout: Option<Duration>) -> AckRequest {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        self.acks.lock().insert(token, target);
        AckRequest { token, timeout }
    }

    fn acked(self: &Arc<Self>, py: Python<'_>, turn: &Turn, token: u64, outcome: AckOutcome) -> PyResult<()> {
        let target = self.acks.lock().remove(&token);
        let Some(target) = target else { return Ok(()) };
        let status = outcome.status;
        let answers = outcome.answers.iter().map(|answer| self.json.values(py, answer));
        let answers = answers.collect::<PyResult<Vec<_>>>()?;
        match target {
            AckTarget::Callback(callback) => {
                let Some(answer) = answers.first() else { return Ok(()) };
                let arguments =
                    std::iter::once(callback.into_bound(py)).chain(answer.iter()).collect::<Vec<_>>();
                let context = turn.context.call_method0(py, intern!(py, "copy"))?;
                let result =
                    context.bind(py).call_method1(intern!(py, "run"), PyTuple::new(py, arguments)?)?;
                if is_awaitable(&result)? {
                    self.start(py, turn, result, Purpose::None, None)?;
                }
                Ok(())
            }
            AckTarget::One(future) => match answers.first() {
                Some(answer) => {
                    settle(future.bind(py), intern!(py, "set_result"), value::answer_value(answer)?)
                }
                None => fail(py, &future, status, PyList::empty(py)),
            },
            AckTarget::Many(future) => {
                let answers = answers.iter().map(value::answer_value).collect::<PyResult<Vec<_>>>()?;
                let answers = PyList::new(py, answers)?;
                if status == AckStatus::Complete {
                    settle(future.bind(py), intern!(py, "set_result"), answers.into_any())
                } else {
                    fail(py, &future, status, answers)
                }
            }
        }
    }
}

fn fail(py: Python<'_>, future: &Py<PyAny>, status: AckStatus, answers: Bound<'_, PyList>) -> PyResult<()> {
    let error = error::acks(py, status, answers).into_value(py).into_bound(py).into_any();
    settle(future.bind(py), intern!(py, "set_exception"), error)
}

/// Lets what follows of the client wait for a handler, if it has to.
fn occupy_lane(work: &Work) {
    if let Some(state) = work.lane.as_ref().and_then(|socket| SocketState::of(socket)) {
        state.occupy_lane();
    }
}

/// Whether calling it only makes a coroutine.
fn is_coroutine_function(handler: &Bound<'_, PyAny>) -> bool {
    const CO_COROUTINE: u32 = 0x80;
    let py = handler.py();
    let flags = handler
        .getattr(intern!(py, "__code__"))
        .and_then(|code| code.getattr(intern!(py, "co_flags")))
        .and_then(|flags| flags.extract::<u32>());
    flags.is_ok_and(|flags| flags & CO_COROUTINE != 0)
}

fn is_awaitable(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    if result.is_none() || result.is_instance_of::<PyString>() || result.is_instance_of::<PyDict>() {
        return Ok(false);
    }
    result.get_type().hasattr(intern!(result.py(), "__await__"))
}
