//! What a turn of the event loop does: it takes what the core tells, and has a handler called for each.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use ferrio::{HostEvent, Payload, Socket, Writes};
use ferrio_host::TURN_EVENTS;
use pyo3::{exceptions::PyException, intern, prelude::*, types::PyTuple};

use crate::{
    bridge::{Bridge, Turn},
    error,
    handlers::{is_awaitable, is_coroutine_function},
    pending, request,
    socket::{Deferred, Departure, SocketState},
    tasks::Purpose,
};

pyo3::import_exception!(asyncio, CancelledError);

/// The time that the events of one turn of the loop may take: beyond, the application's own timers and requests
/// come first.
const TURN_TIME: Duration = Duration::from_millis(4);

/// How many are taken from the core at once, between two looks at the clock.
const BATCH: usize = 32;

impl Bridge {
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

    pub(crate) fn dispatch(self: &Arc<Self>, py: Python<'_>, turn: &Turn, event: HostEvent) -> PyResult<()> {
        match event {
            HostEvent::Event { socket, payload, reply, credit } => {
                self.enter_lane(py, turn, &socket, Deferred::Event(payload, reply, credit))
            }
            HostEvent::Connect { socket, auth, admission } => {
                self.connect(py, turn, &socket, &auth, admission)
            }
            HostEvent::Withdrawn { socket: Some(socket), reason, .. } => self.withdrawn(py, &socket, reason),
            HostEvent::Disconnect(departure) => {
                let socket = departure.socket().clone();
                if self.manners.recovers && departure.reason().is_recoverable() {
                    let session = SocketState::attach(py, &socket).session(py);
                    self.keep_session(socket.key(), session.unbind());
                }
                let credit = socket.credit();
                self.enter_lane(py, turn, &socket, Deferred::Departure(departure, credit))
            }
            HostEvent::Ack { token, outcome } => self.acked(py, turn, token, &outcome),
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
            HostEvent::Forget { key } => {
                drop(self.take_session(key));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Starts the handler of an event. Returns whether the lane has to wait for it.
    pub(crate) fn handle(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        what: Deferred,
    ) -> PyResult<bool> {
        match what {
            Deferred::Event(..) if !self.listens_to(socket) => Ok(false),
            Deferred::Event(payload, reply, credit) => {
                let purpose = Purpose::Answer { socket: Arc::downgrade(socket), reply, _credit: credit };
                self.event(py, turn, socket, &payload, purpose)
            }
            Deferred::Departure(..) if SocketState::attach(py, socket).is_refused() => Ok(false),
            Deferred::Departure(departure, credit) => {
                let departure = Bound::new(py, Departure::new(self, departure, credit))?;
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
        purpose: Purpose,
    ) -> PyResult<bool> {
        let state = SocketState::attach(py, socket);
        let values = self.json.values(py, payload)?;
        // It may be a number.
        let name = values.get_item(0)?.str()?;
        let Some((handler, prefix)) = self.handler(py, turn, state.namespace.bind(py), &name)? else {
            return Ok(false);
        };
        let mut arguments = Vec::with_capacity(values.len() + 2);
        arguments.extend(prefix.iter().flat_map(PyTupleMethods::iter));
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
        if !is_awaitable(&result)? {
            self.use_result(py, purpose, Ok(result))?;
            return Ok(false);
        }
        let lane = self.manners.is_serial.then_some(socket);
        Ok(self.start(py, turn, result, purpose, lane)? && self.manners.is_serial)
    }

    /// Does with a handler's result what it is for.
    pub(crate) fn use_result(
        self: &Arc<Self>,
        py: Python<'_>,
        purpose: Purpose,
        result: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if !self.is_here() {
            // What it is for is the parent's.
            mem::forget(purpose);
            return result.map(drop);
        }
        match purpose {
            Purpose::None | Purpose::Answer { reply: None, .. } => result.map(drop),
            Purpose::Answer { reply: Some(reply), .. } => {
                let answer = self.json.answer(&result?)?;
                self.write(py, |writes| reply.send(&answer, writes));
                Ok(())
            }
            Purpose::Admit(asked) => match result.and_then(|decision| decision.extract()) {
                Ok(None) => self.admit(py, &asked),
                Ok(Some((message, data))) => self.refuse(py, &asked, &message, data),
                Err(error) => {
                    self.refuse_silently(py, &asked);
                    Err(error)
                }
            },
        }
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
}
