//! The engine's own events: a request that wants to open a session, its opening, its messages, its end.

use std::{
    mem,
    sync::{Arc, Weak},
};

use ferrio::{
    Admitted, CloseReason, Connection, Credit, DisconnectReason, Message, Refusal, RequestHead, SessionEvent,
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBytes, PyString},
};

use crate::{
    bridge::{Bridge, EventLoop},
    handlers::{Handler, is_awaitable},
    lane::Lane,
    lanes::Laned,
    request,
    session::SessionEnd,
    sessions::{Deferred, Opening, SessionState, Verdict},
    tasks::Purpose,
};

/// python-engineio's words for the ends that the core knows by others.
const CLIENT_DISCONNECT: &str = "client disconnect";
const TRANSPORT_CLOSE: &str = "transport close";

impl Laned for SessionState {
    type Deferred = Deferred;

    fn lane(&self) -> Option<&Lane<Deferred>> {
        Some(&self.lane)
    }

    fn is_end(what: &Deferred) -> bool {
        matches!(what, Deferred::End(_))
    }

    fn handle(
        self: &Arc<Self>,
        py: Python<'_>,
        bridge: &Arc<Bridge>,
        event_loop: &EventLoop,
        what: Deferred,
    ) -> PyResult<bool> {
        match what {
            Deferred::Message(message, credit) => bridge.message(py, event_loop, self, &message, credit),
            Deferred::End(reason) => {
                bridge.ended_session(py, event_loop, self, reason)?;
                Ok(false)
            }
        }
    }
}

impl Bridge {
    /// Names the session that a request wants to open, and without Socket.IO asks the connect handler about it.
    pub(crate) fn requested(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        head: &RequestHead,
        verdict: Verdict,
    ) -> PyResult<()> {
        if self.is_engine && head.query("j").is_some_and(|index| index.parse::<u64>().is_err()) {
            verdict.send(Err(Refusal::bad_request("INVALID_JSONP_INDEX")));
            return Ok(());
        }
        let named = self.new_id(py, event_loop);
        let (sid, id) = match named {
            Ok(named) => named,
            Err(error) => {
                verdict.send(Err(Refusal::bad_request("ID_GENERATION_ERROR")));
                return Err(error);
            }
        };
        if !self.is_engine {
            verdict.send(Ok(Admitted { id: Some(id), ..Admitted::default() }));
            return Ok(());
        }
        let session = self.sessions.begin(&sid, &id, head, verdict);
        let opening = Opening::new(&self.sessions, session);
        if self.handlers.bind(py).get_item(intern!(py, "connect"))?.is_none() {
            self.accept_session(&opening);
            return Ok(());
        }
        let environ = request::environ(py, head)?;
        let coroutine = event_loop.host.bind(py).call_method1(intern!(py, "_connect"), (sid, environ))?;
        self.run_alone(py, event_loop, coroutine, Purpose::Open(opening))
    }

    /// An id for a session, that no other has.
    fn new_id<'py>(
        &self,
        py: Python<'py>,
        event_loop: &EventLoop,
    ) -> PyResult<(Bound<'py, PyString>, Arc<str>)> {
        let sid = event_loop.host.bind(py).call_method0(intern!(py, "_session_id"))?;
        let sid =
            sid.cast_into::<PyString>().map_err(|_| PyTypeError::new_err("generate_id must return text"))?;
        let id: Arc<str> = Arc::from(sid.to_str()?);
        if id.is_empty() {
            return Err(PyValueError::new_err("generate_id has returned an empty text"));
        }
        if self.sessions.get(&id).is_some() || self.server.engine().session(&id).is_some() {
            return Err(PyValueError::new_err("generate_id has returned the id of another session"));
        }
        Ok((sid, id))
    }

    /// Carries out what a connect handler has decided: nothing, or with what JSON text its client is refused.
    pub(crate) fn decided_session(
        self: &Arc<Self>,
        opening: Opening,
        decision: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // An error drops what is opening, which refuses the client.
        match decision?.extract::<Option<String>>()? {
            None => self.accept_session(&opening),
            Some(json) => opening.refuse(json),
        }
        Ok(())
    }

    fn accept_session(self: &Arc<Self>, opening: &Opening) {
        let session = opening.session();
        let Some(verdict) = session.take_verdict() else { return };
        let promise = Promise { bridge: Arc::downgrade(self), session: session.clone() };
        verdict.send(Ok(Admitted {
            id: Some(session.id.clone()),
            messages: session.take_waiting(),
            guard: Some(Box::new(promise)),
            ..Admitted::default()
        }));
    }

    /// Refuses every client that nobody has decided about.
    pub(crate) fn refuse_undecided(&self) {
        if self.is_engine {
            for session in self.sessions.all() {
                self.sessions.refuse(&session, Refusal::unavailable("Server is shutting down"));
            }
        }
    }

    /// Something happened on a session.
    pub(crate) fn session_event(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        connection: &Arc<Connection>,
        event: SessionEvent,
    ) -> PyResult<()> {
        let session = self.sessions.get(connection.id());
        match (session, event) {
            (Some(session), SessionEvent::Opened) if !session.is_over() => {
                self.write(py, |writes| session.open(connection, writes));
            }
            // The application has ended it before it was open.
            (_, SessionEvent::Opened) => py.detach(|| connection.close(CloseReason::ForcedClose)),
            (Some(session), SessionEvent::Message(message, credit)) => {
                let message = Deferred::Message(message, credit);
                if let Some(message) = self.enter_lane(py, event_loop, &session, message)? {
                    session.handle(py, self, event_loop, message)?;
                }
            }
            (Some(session), SessionEvent::Closed(reason)) if self.is_engine => {
                let end = Deferred::End(end_reason(connection, reason));
                if let Some(end) = self.enter_lane(py, event_loop, &session, end)? {
                    session.handle(py, self, event_loop, end)?;
                }
            }
            (Some(session), SessionEvent::Closed(_)) => self.sessions.forget(&session),
            _ => {}
        }
        Ok(())
    }

    /// Has a message handled. Returns whether what follows has to wait for it.
    pub(crate) fn message(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        session: &Arc<SessionState>,
        message: &Message,
        credit: Credit,
    ) -> PyResult<bool> {
        if session.is_over() || self.is_closing() {
            return Ok(false);
        }
        let Some(function) = self.handlers.bind(py).get_item(intern!(py, "message"))? else {
            return Ok(false);
        };
        let data = match message {
            Message::Text(text) => self.json.message(py, text)?,
            Message::Binary(bytes) => PyBytes::new(py, bytes).into_any(),
        };
        let handler = Handler { function, prefix: None };
        let result = handler.call(event_loop, session.sid.bind(py), std::iter::once(data))?;
        if !is_awaitable(&result)? {
            return Ok(false);
        }
        let purpose = Purpose::Message { session: Arc::downgrade(session), _credit: credit };
        let lane = self.behaviour.is_serial.then_some(session);
        Ok(self.run(py, event_loop, result, purpose, lane)? && self.behaviour.is_serial)
    }

    /// Has the end of a session told, unless it was before.
    pub(crate) fn ended_session(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        session: &Arc<SessionState>,
        reason: &'static str,
    ) -> PyResult<()> {
        if !session.begin_end() {
            return Ok(());
        }
        let end = Bound::new(py, SessionEnd::new(self, session, reason))?;
        let coroutine = event_loop.host.bind(py).call_method1(intern!(py, "_disconnected"), (end,))?;
        if coroutine.is_none() { Ok(()) } else { self.run_alone(py, event_loop, coroutine, Purpose::None) }
    }

    /// Has the end told of sessions that were let in and did not open: their clients have gone, or had to.
    pub(crate) fn tell_lost_sessions(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
    ) -> PyResult<()> {
        let lost = mem::take(&mut *self.sessions.lost.lock());
        let mut end = Ok(());
        for session in lost {
            let told = self.ended_session(py, event_loop, &session, TRANSPORT_CLOSE);
            end = end.and(told.or_else(|error| self.report(py, error)));
        }
        end
    }

    /// Whether the application still listens to a session.
    pub(crate) fn listens_to_session(&self, session: &Weak<SessionState>) -> bool {
        !self.is_closing() && session.upgrade().is_some_and(|session| !session.is_over())
    }
}

/// Why a session is over, in python-engineio's words as far as those of the core are others.
fn end_reason(connection: &Connection, reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::Connection(CloseReason::TransportClose) if connection.was_closed_by_packet() => {
            CLIENT_DISCONNECT
        }
        reason => reason.as_str(),
    }
}

/// That a session will open. The core drops it when it has, and when it never will.
struct Promise {
    bridge: Weak<Bridge>,
    session: Arc<SessionState>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        let Some(bridge) = self.bridge.upgrade() else { return };
        if bridge.server.engine().session(&self.session.id).is_none() {
            bridge.sessions.lost.lock().push(self.session.clone());
            bridge.waker.wake();
        }
    }
}
