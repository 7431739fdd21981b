//! The only place that calls the application: what the core tells becomes calls of its handlers.

use std::{mem, sync::Arc};

use ferrio::{AckOutcome, AckStatus, Admission, DisconnectReason, HostEvent, Payload, Socket};
use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyList, PyString, PyTuple, iterator::PySendResult},
};

use crate::{
    bridge::{AckTarget, Bridge, Turn},
    error,
    handling::{self, Asked, Handling, Lane, LaneWatch, Purpose, Work},
    pending::settle,
    request,
    socket::{Deferred, Departure, SocketState},
    value,
};

/// A handler, and what it gets before the socket's id.
type Found<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyTuple>>);

impl Bridge {
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

    /// Starts the handler of an event, or keeps the event until the one before is done.
    fn enter_lane(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        socket: &Arc<Socket>,
        what: Deferred,
    ) -> PyResult<()> {
        let state = SocketState::attach(py, socket);
        if self.is_closing() {
            // The handler at work may be the one that waits for the end.
            return self.handle(py, turn, socket, what).map(drop);
        }
        let leaves = matches!(what, Deferred::Departure(..));
        match state.queue_in_lane(what) {
            Some(what) => self.handle(py, turn, socket, what).map(drop),
            None if leaves => self.watch_lane(py, turn, socket),
            None => Ok(()),
        }
    }

    /// Sees to it that a client that has gone does not wait for ever for the handler at work.
    fn watch_lane(self: &Arc<Self>, py: Python<'_>, turn: &Turn, socket: &Arc<Socket>) -> PyResult<()> {
        let watch = LaneWatch::new(self, socket);
        let patience = self.manners.patience.as_secs_f64();
        turn.event_loop.call_method1(py, intern!(py, "call_later"), (patience, watch)).map(drop)
    }

    /// Has a client's disconnect be handled, if the handler at work is still the one that was at work before.
    pub(crate) fn leave_lane(
        self: &Arc<Self>,
        py: Python<'_>,
        socket: &Arc<Socket>,
        n_before: u64,
    ) -> PyResult<()> {
        let (Some(state), Ok(turn)) = (SocketState::of(socket), self.turn()) else { return Ok(()) };
        match state.leave_lane(n_before) {
            None => Ok(()),
            Some(left) if left.is_empty() => self.watch_lane(py, &turn, socket),
            Some(mut left) => {
                let departure = left.pop_back().expect("the departure is the last");
                drop(left);
                self.handle(py, &turn, socket, departure).map(drop)
            }
        }
    }

    /// Goes on with the events that waited for a handler. What ends the process comes back, after the others.
    pub(crate) fn next_in_lane(self: &Arc<Self>, py: Python<'_>, socket: &Arc<Socket>) -> PyResult<()> {
        let (Some(state), Ok(turn)) = (SocketState::of(socket), self.turn()) else { return Ok(()) };
        let mut end = Ok(());
        while let Some(what) = state.next_in_lane() {
            match self.handle(py, &turn, socket, what) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => end = end.and(self.report(py, error)),
            }
        }
        end
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

    /// The handler for an event, and what it gets before the socket's id.
    fn handler<'py>(
        &self,
        py: Python<'py>,
        turn: &Turn,
        namespace: &Bound<'py, PyString>,
        event: &Bound<'py, PyString>,
    ) -> PyResult<Option<Found<'py>>> {
        if let "connect" | "disconnect" = event.to_str().unwrap_or_default() {
            // Names of the server's own events: a client must not reach their handlers by an event of its own.
            return Ok(None);
        }
        // An event of that name is for the catch-all handler, with its name first.
        let is_star = event.to_str().is_ok_and(|event| event == "*");
        if !is_star
            && let Some(handlers) = self.handlers.bind(py).get_item(namespace)?
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
        lane: Option<&Arc<Socket>>,
    ) -> PyResult<bool> {
        let is_coroutine = coroutine.get_type().hasattr(intern!(py, "send"))?;
        let coroutine =
            if is_coroutine { coroutine } else { coroutine.call_method0(intern!(py, "__await__"))? };
        let context = turn.context.call_method0(py, intern!(py, "copy"))?;
        let mut work = Work { coroutine: coroutine.unbind(), context, purpose, lane: None };
        if !self.may_step() {
            work.lane = lane.map(|socket| Lane::occupy(self, socket));
            let handling = Py::new(py, Handling::new(self, work))?;
            let task = turn.start_task.call1(py, (&handling,))?;
            if !handling.get().is_done()? {
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
                work.lane = lane.map(|socket| Lane::occupy(self, socket));
                reserve.hand_over(py, work, awaited)?;
                return Ok(true);
            }
            Ok(PySendResult::Return(value)) => Ok(value),
            Err(error) => Err(error),
        };
        self.put_back(reserve);
        self.use_result(py, work.purpose, result)?;
        Ok(false)
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

    fn admit(self: &Arc<Self>, py: Python<'_>, asked: &Asked) -> PyResult<()> {
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

    /// Takes note that a client has gone before it was let in. Its connect handler goes on.
    fn withdrawn(
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

    fn refuse(
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
    fn refuse_silently(self: &Arc<Self>, py: Python<'_>, asked: &Asked) {
        // One that waits is refused because nobody has decided.
        let Asked::In(socket, _) = asked else { return };
        let Some(socket) = socket.upgrade() else { return };
        SocketState::attach(py, &socket).refuse();
        let departures = self.write(py, |writes| socket.disconnect(false, writes));
        drop(departures);
    }

    fn acked(
        self: &Arc<Self>,
        py: Python<'_>,
        turn: &Turn,
        token: u64,
        outcome: &AckOutcome,
    ) -> PyResult<()> {
        let Some(target) = self.acks.take(token) else { return Ok(()) };
        let future = match target {
            AckTarget::Callback(_, socket) if !self.listens_to(&socket) => return Ok(()),
            AckTarget::Callback(callback, _) => {
                let Some(answer) = outcome.answers.first() else { return Ok(()) };
                let answer = self.json.values(py, answer)?;
                let arguments =
                    std::iter::once(callback.into_bound(py)).chain(answer.iter()).collect::<Vec<_>>();
                let context = turn.context.call_method0(py, intern!(py, "copy"))?;
                let result =
                    context.bind(py).call_method1(intern!(py, "run"), PyTuple::new(py, arguments)?)?;
                if is_awaitable(&result)? {
                    self.start(py, turn, result, Purpose::None, None)?;
                }
                return Ok(());
            }
            AckTarget::One(ref future) | AckTarget::Many(ref future) => future,
        };
        // Whoever waits is told in any case, also where an answer cannot be read.
        let mut unread = Ok(());
        let answers = PyList::empty(py);
        for answer in &outcome.answers {
            match self.json.values(py, answer).and_then(|answer| value::answer_value(&answer)) {
                Ok(answer) => answers.append(answer)?,
                Err(error) => unread = unread.and(self.report(py, error)),
            }
        }
        let is_complete = answers.len() == outcome.answers.len() && outcome.status == AckStatus::Complete;
        let told = match target {
            _ if !is_complete => fail(py, future, outcome.status, answers),
            AckTarget::One(_) => settle(future.bind(py), intern!(py, "set_result"), answers.get_item(0)?),
            _ => settle(future.bind(py), intern!(py, "set_result"), answers.into_any()),
        };
        unread.and(told)
    }
}

fn fail(py: Python<'_>, future: &Py<PyAny>, status: AckStatus, answers: Bound<'_, PyList>) -> PyResult<()> {
    let error = error::acks(py, status, answers).into_value(py).into_bound(py).into_any();
    settle(future.bind(py), intern!(py, "set_exception"), error)
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
