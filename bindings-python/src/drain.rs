//! The way of an event, from the core's queue to its ack.
//!
//! Each stage is one call that returns here: its turn among its client's events ([`lanes`](crate::lanes)), its handler
//! and the call of it ([`handlers`](crate::handlers)), the first step of a coroutine ([`tasks`](crate::tasks)), its
//! ack. A handler that waits comes back by [`Bridge::ended`].

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use ferrio::{Credit, HostEvent, Payload, Reply, Socket};
use ferrio_host::TURN_EVENTS;
use pyo3::{exceptions::PyException, intern, prelude::*};

use crate::{
    bridge::{Bridge, Turn},
    error,
    handlers::is_awaitable,
    lanes::{Deferred, Occupied},
    request,
    socket::{Departure, SocketState},
    tasks::{FirstStep, Purpose},
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
        let could_step = self.tasks.let_step(is_outermost);
        let outcome = self.take_turn(py, &turn);
        self.tasks.let_step(could_step);
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
            self.go_on(py, &socket)?;
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

    fn dispatch(self: &Arc<Self>, py: Python<'_>, turn: &Turn, event: HostEvent) -> PyResult<()> {
        match event {
            HostEvent::Event { socket, payload, reply, credit } => {
                let event = Deferred::Event(payload, reply, credit);
                let Some(event) = self.enter_lane(py, turn, &socket, event)? else { return Ok(()) };
                self.handle(py, turn, &socket, event).map(drop)
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
                let departure = Deferred::Departure(departure, socket.credit());
                let Some(departure) = self.enter_lane(py, turn, &socket, departure)? else { return Ok(()) };
                self.handle(py, turn, &socket, departure).map(drop)
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

    /// Has something of a client handled. Returns whether what follows has to wait for it.
    pub(crate) fn handle(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        what: Deferred,
    ) -> PyResult<bool> {
        match what {
            Deferred::Event(payload, reply, credit) => self.event(py, turn, socket, &payload, reply, credit),
            Deferred::Departure(departure, credit) => {
                self.departed(py, turn, socket, departure, credit)?;
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
        credit: Credit,
    ) -> PyResult<bool> {
        if !self.listens_to(socket) {
            return Ok(false);
        }
        let state = SocketState::attach(py, socket);
        let values = self.json.values(py, payload)?;
        // It may be a number.
        let name = values.get_item(0)?.str()?;
        let Some(handler) = self.handler(py, turn, state.namespace.bind(py), &name)? else {
            return Ok(false);
        };
        let result = handler.call(turn, state.sid.bind(py), &values)?;
        let purpose = Purpose::Answer { socket: Arc::downgrade(socket), reply, _credit: credit };
        if !is_awaitable(&result)? {
            self.use_result(py, purpose, Ok(result))?;
            return Ok(false);
        }
        let lane = self.manners.is_serial.then_some(socket);
        Ok(self.run(py, turn, result, purpose, lane)? && self.manners.is_serial)
    }

    pub(crate) fn departed(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        departure: ferrio::Departure,
        credit: Credit,
    ) -> PyResult<()> {
        if SocketState::attach(py, socket).is_refused() {
            return Ok(());
        }
        let departure = Bound::new(py, Departure::new(self, departure, credit))?;
        let coroutine = turn.host.bind(py).call_method1(intern!(py, "_disconnected"), (departure,))?;
        if !coroutine.is_none() {
            self.run(py, turn, coroutine, Purpose::None, None)?;
        }
        Ok(())
    }

    /// Runs a coroutine, and uses its result if it comes at once. Returns whether it waits for something. Meanwhile,
    /// further events of the client `lane` wait for it.
    pub(crate) fn run(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        coroutine: Bound<'_, PyAny>,
        purpose: Purpose,
        lane: Option<&Arc<Socket>>,
    ) -> PyResult<bool> {
        match self.start(py, turn, coroutine, purpose, lane)? {
            FirstStep::Waits => Ok(true),
            FirstStep::Ended(purpose, result) => {
                self.use_result(py, purpose, result)?;
                Ok(false)
            }
        }
    }

    /// Does with a handler's result what it is for.
    fn use_result(
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
            Purpose::Admit(asked) => self.decided(py, &asked, result),
        }
    }

    /// Uses the result of a handler that has waited, and goes on with what waited for it. What ends the task or the
    /// process comes back.
    pub(crate) fn ended(
        self: &Arc<Self>,
        py: Python<'_>,
        purpose: Purpose,
        result: PyResult<Bound<'_, PyAny>>,
        occupied: Option<Occupied>,
    ) -> PyResult<()> {
        let used = self.use_result(py, purpose, result);
        let reported = used.or_else(|error| self.report(py, error));
        let gone_on = occupied.map_or(Ok(()), |occupied| self.free(py, occupied));
        reported.and(gone_on)
    }

    /// Goes on with what waited for a handler that is over.
    pub(crate) fn free(self: &Arc<Self>, py: Python<'_>, occupied: Occupied) -> PyResult<()> {
        occupied.free().map_or(Ok(()), |socket| self.go_on(py, &socket))
    }

    /// Goes on with a client's events. What ends the process comes back, after the others.
    fn go_on(self: &Arc<Self>, py: Python<'_>, socket: &Arc<Socket>) -> PyResult<()> {
        let (Some(state), Ok(turn)) = (SocketState::of(socket), self.turn()) else { return Ok(()) };
        let mut end = Ok(());
        while let Some(what) = state.lane.next() {
            match self.handle(py, &turn, socket, what) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => end = end.and(self.report(py, error)),
            }
        }
        end
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
}
