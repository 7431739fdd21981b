//! The order of one client's events where each waits for the handler of the one before.

use std::sync::{Arc, Weak};

use ferrio::Socket;
use pyo3::{intern, prelude::*};

use crate::{
    bridge::{Bridge, Turn},
    process::Own,
    socket::{Deferred, SocketState},
};

/// A client whose further events wait for a handler. When the handler is done, or nobody will ever run it again, they
/// go on.
pub(crate) struct Lane {
    bridge: Arc<Bridge>,
    socket: Weak<Socket>,
}

impl Lane {
    pub(crate) fn occupy(bridge: &Arc<Bridge>, socket: &Arc<Socket>) -> Self {
        if let Some(state) = SocketState::of(socket) {
            state.occupy_lane();
        }
        Self { bridge: bridge.clone(), socket: Arc::downgrade(socket) }
    }

    /// Goes on at once.
    pub(crate) fn free(mut self, py: Python<'_>) -> PyResult<()> {
        let socket = std::mem::take(&mut self.socket).upgrade();
        socket.map_or(Ok(()), |socket| self.bridge.next_in_lane(py, &socket))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.upgrade() {
            self.bridge.free_lane(socket);
        }
    }
}

/// Looks, after a while, whether a client that has gone still waits for the same handler.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct LaneWatch(Own<Watched>);

struct Watched {
    bridge: Weak<Bridge>,
    socket: Weak<Socket>,
    n_before: u64,
}

impl LaneWatch {
    pub(crate) fn new(bridge: &Arc<Bridge>, socket: &Arc<Socket>) -> Self {
        let n_before = SocketState::of(socket).map_or(0, SocketState::n_before);
        let (bridge, socket) = (Arc::downgrade(bridge), Arc::downgrade(socket));
        Self(Own::new(Watched { bridge, socket, n_before }))
    }
}

#[pymethods]
impl LaneWatch {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let Watched { bridge, socket, n_before } = self.0.here()?;
        match (bridge.upgrade(), socket.upgrade()) {
            (Some(bridge), Some(socket)) => bridge.leave_lane(py, &socket, *n_before),
            _ => Ok(()),
        }
    }
}

impl Bridge {
    /// Starts the handler of an event, or keeps the event until the one before is done.
    pub(crate) fn enter_lane(
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

    /// Has the loop go on with the events of a client, later.
    pub(crate) fn free_lane(&self, socket: Arc<Socket>) {
        self.freed.lock().push(socket);
        self.waker.wake();
    }
}
