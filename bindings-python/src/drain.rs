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

use ferrio::{Ack, Credit, HostEvent, Payload, Socket};
use ferrio_host::TURN_EVENTS;
use pyo3::{exceptions::PyException, intern, prelude::*};

use crate::{
    bridge::{Bridge, EventLoop},
    error,
    handlers::is_awaitable,
    lane::Lane,
    lanes::{Laned, Occupied},
    request,
    socket::DisconnectedSocket,
    socket_state::{Deferred, SocketState},
    tasks::{FirstStep, Purpose},
};

pyo3::import_exception!(asyncio, CancelledError);

/// The time that the events of one turn of the loop may take: beyond, the application's own timers and requests
/// come first.
const TURN_TIME: Duration = Duration::from_millis(4);

/// How many are taken from the core at once, between two looks at the clock.
const BATCH: usize = 32;

impl Laned for Socket {
    type Deferred = Deferred;

    fn lane(&self) -> Option<&Lane<Deferred>> {
        SocketState::of(self).map(|state| &state.lane)
    }

    fn is_end(what: &Deferred) -> bool {
        matches!(what, Deferred::DisconnectedSocket(..))
    }

    fn handle(
        self: &Arc<Self>,
        py: Python<'_>,
        bridge: &Arc<Bridge>,
        event_loop: &EventLoop,
        what: Deferred,
    ) -> PyResult<bool> {
        match what {
            Deferred::Event(payload, ack, credit) => {
                bridge.event(py, event_loop, self, &payload, ack, credit)
            }
            Deferred::DisconnectedSocket(disconnected, credit) => {
                bridge.departed(py, event_loop, self, disconnected, credit)?;
                Ok(false)
            }
        }
    }
}

impl Bridge {
    /// Takes what has come and starts the handlers for it. Returns whether more waits for the next turn.
    pub(crate) fn drain(self: &Arc<Self>, py: Python<'_>) -> PyResult<bool> {
        let Ok(event_loop) = self.event_loop() else { return Ok(false) };
        self.waker.reset(&event_loop.pipe);
        self.will_flush.store(true, Ordering::Release);
        self.futures.stay_awake();
        // A shutdown drains from inside of a task.
        let is_outermost = event_loop.current_task.call1(py, (&event_loop.object,))?.is_none(py);
        let could_step = self.tasks.let_step(is_outermost);
        let outcome = self.take_turn(py, &event_loop);
        self.tasks.let_step(could_step);
        if is_outermost {
            self.flush(py);
        } else {
            event_loop.call_soon.call1(py, (&event_loop.flush,))?;
        }
        if !matches!(outcome, Ok(false)) {
            event_loop.call_soon.call1(py, (&event_loop.drain,))?;
        }
        outcome
    }

    fn take_turn(self: &Arc<Self>, py: Python<'_>, event_loop: &EventLoop) -> PyResult<bool> {
        let started = Instant::now();
        loop {
            let freed = self.freed_lanes.lock().pop();
            let Some(client) = freed else { break };
            client.go_on(py, self)?;
        }
        self.tell_lost_sessions(py, event_loop)?;
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
            if let Err(error) = self.dispatch(py, event_loop, event)
                && !error.is_instance_of::<CancelledError>(py)
            {
                self.report(py, error)?;
            }
        }
        Ok(core_has_more)
    }

    fn dispatch(self: &Arc<Self>, py: Python<'_>, event_loop: &EventLoop, event: HostEvent) -> PyResult<()> {
        match event {
            HostEvent::Event { socket, payload, ack, credit } => {
                SocketState::attach(py, &socket);
                let event = Deferred::Event(payload, ack, credit);
                let Some(event) = self.enter_lane(py, event_loop, &socket, event)? else { return Ok(()) };
                socket.handle(py, self, event_loop, event).map(drop)
            }
            HostEvent::Connect { socket, auth, connect_request } => {
                self.connect(py, event_loop, &socket, &auth, connect_request)
            }
            HostEvent::ConnectAborted { socket: Some(socket), reason, .. } => {
                self.connect_aborted(py, &socket, reason)
            }
            HostEvent::Disconnect(disconnected) => {
                let socket = disconnected.socket().clone();
                if self.behaviour.recovers && disconnected.reason().is_recoverable() {
                    let session = SocketState::attach(py, &socket).session(py);
                    self.keep_session(socket.key(), session.unbind());
                }
                SocketState::attach(py, &socket);
                let disconnected = Deferred::DisconnectedSocket(disconnected, socket.credit());
                let Some(disconnected) = self.enter_lane(py, event_loop, &socket, disconnected)? else {
                    return Ok(());
                };
                socket.handle(py, self, event_loop, disconnected).map(drop)
            }
            HostEvent::Ack { token, outcome } => self.acked(py, event_loop, token, &outcome),
            HostEvent::Origin { head, answer } => {
                let environ = request::environ(py, &head)?;
                let origin = head.header("origin").unwrap_or_default();
                let allowed = event_loop
                    .host
                    .call_method1(py, intern!(py, "_allow_origin"), (origin, environ))?
                    .is_truthy(py)?;
                answer.send(request::origin_decision(allowed));
                Ok(())
            }
            HostEvent::Request { head, answer } => self.requested(py, event_loop, &head, answer),
            HostEvent::Session { connection, event } => {
                self.session_event(py, event_loop, &connection, event)
            }
            HostEvent::Forget { key } => {
                drop(self.take_session(key));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Has an event handled. Returns whether what follows has to wait for it.
    pub(crate) fn event(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        socket: &Arc<Socket>,
        payload: &Payload,
        ack: Option<Ack>,
        credit: Credit,
    ) -> PyResult<bool> {
        if !self.listens_to(socket) {
            return Ok(false);
        }
        let state = SocketState::attach(py, socket);
        let values = self.json.values(py, payload)?;
        // It may be a number.
        let name = values.get_item(0)?.str()?;
        let Some(handler) = self.handler(py, event_loop, state.namespace.bind(py), &name)? else {
            return Ok(false);
        };
        // The first is the event's name.
        let result = handler.call(event_loop, state.sid.bind(py), values.iter().skip(1))?;
        let purpose = Purpose::Answer { socket: Arc::downgrade(socket), ack, _credit: credit };
        if !is_awaitable(&result)? {
            self.use_result(py, purpose, Ok(result))?;
            return Ok(false);
        }
        let lane = self.behaviour.is_serial.then_some(socket);
        Ok(self.run(py, event_loop, result, purpose, lane)? && self.behaviour.is_serial)
    }

    pub(crate) fn departed(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        socket: &Arc<Socket>,
        disconnected: ferrio::DisconnectedSocket,
        credit: Credit,
    ) -> PyResult<()> {
        if SocketState::attach(py, socket).is_refused() {
            return Ok(());
        }
        let disconnected = Bound::new(py, DisconnectedSocket::new(self, disconnected, credit))?;
        let coroutine =
            event_loop.host.bind(py).call_method1(intern!(py, "_disconnected"), (disconnected,))?;
        if !coroutine.is_none() {
            self.run_alone(py, event_loop, coroutine, Purpose::None)?;
        }
        Ok(())
    }

    /// Runs a coroutine, and uses its result if it comes at once. Returns whether it waits for something. Meanwhile,
    /// further events of the client `lane` wait for it.
    pub(crate) fn run<T: Laned>(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        coroutine: Bound<'_, PyAny>,
        purpose: Purpose,
        lane: Option<&Arc<T>>,
    ) -> PyResult<bool> {
        match self.start(py, event_loop, coroutine, purpose, lane)? {
            FirstStep::Waits => Ok(true),
            FirstStep::Ended(purpose, result) => {
                self.use_result(py, purpose, result)?;
                Ok(false)
            }
        }
    }

    /// The same where nothing waits for it.
    pub(crate) fn run_alone(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        coroutine: Bound<'_, PyAny>,
        purpose: Purpose,
    ) -> PyResult<()> {
        self.run(py, event_loop, coroutine, purpose, None::<&Arc<Socket>>).map(drop)
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
            Purpose::None | Purpose::Message { .. } | Purpose::Answer { ack: None, .. } => result.map(drop),
            Purpose::Answer { ack: Some(ack), .. } => {
                let answer = self.json.answer(&result?)?;
                self.write(py, |writes| ack.send(&answer, writes));
                Ok(())
            }
            Purpose::Connect(connecting) => self.decided(py, &connecting, result),
            Purpose::Open(opening) => self.decided_session(opening, result),
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
        occupied.free().map_or(Ok(()), |client| client.go_on(py, self))
    }

    /// Reports what a handler raised, as asyncio does for a task that nobody waits for. What ends a task or the
    /// process comes back.
    pub(crate) fn report(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        match self.event_loop() {
            Ok(event_loop) if self.is_engine => {
                event_loop.host.call_method1(py, intern!(py, "_failed"), (error,))?;
            }
            Ok(event_loop) => {
                error::report(
                    py,
                    event_loop.object.bind(py),
                    "a Socket.IO handler raised an exception",
                    error,
                );
            }
            Err(_) => error.write_unraisable(py, None),
        }
        Ok(())
    }
}
