//! The order of one client's events, where each waits for the handler of the one before.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Weak},
};

use ferrio::{Credit, Payload, Reply, Socket};
use parking_lot::Mutex;
use pyo3::{intern, prelude::*};

use crate::{
    bridge::{Bridge, EventLoop},
    process::Own,
    socket::SocketState,
};

/// Something of a client that may have to wait for the handler before.
pub(crate) enum Deferred {
    Event(Payload, Option<Reply>, Credit),
    Departure(ferrio::Departure, Credit),
}

/// What waits for a client's handler at work; `None` when there is none. Bounded by the client's share of what may be
/// under way: beyond, nothing is read from it.
#[derive(Default)]
pub(crate) struct Lane(Mutex<Option<Waiting>>);

#[derive(Default)]
struct Waiting {
    deferred: VecDeque<Deferred>,
    /// How many have gone on before.
    n_before: u64,
}

impl Lane {
    /// Keeps something for later if it has to wait; gives it back if not.
    fn queue(&self, what: Deferred) -> Option<Deferred> {
        match &mut *self.0.lock() {
            Some(waiting) => {
                waiting.deferred.push_back(what);
                None
            }
            None => Some(what),
        }
    }

    /// The next that waits. When there is none, nothing has to wait any more.
    pub(crate) fn next(&self) -> Option<Deferred> {
        let mut lane = self.0.lock();
        let next = lane.as_mut().and_then(|waiting| waiting.deferred.pop_front());
        match &mut *lane {
            Some(waiting) if next.is_some() => waiting.n_before += 1,
            _ => *lane = None,
        }
        next
    }

    /// How many handlers have had their turn since something had to wait.
    fn n_before(&self) -> u64 {
        self.0.lock().as_ref().map_or(0, |waiting| waiting.n_before)
    }

    /// Everything that waits, the departure last, if the handler at work is the same as when `n_before` was asked.
    /// Nothing of it if that is another, and `None` if no departure waits.
    fn leave(&self, n_before: u64) -> Option<VecDeque<Deferred>> {
        let mut lane = self.0.lock();
        let waiting = lane.as_mut()?;
        if !matches!(waiting.deferred.back(), Some(Deferred::Departure(..))) {
            return None;
        }
        let is_same = waiting.n_before == n_before;
        Some(if is_same { mem::take(&mut waiting.deferred) } else { VecDeque::new() })
    }
}

/// A handler for which its client's further events wait. When it is done, or nobody will ever run it again, they go on.
pub(crate) struct Occupied {
    bridge: Arc<Bridge>,
    socket: Weak<Socket>,
}

impl Occupied {
    pub(crate) fn new(bridge: &Arc<Bridge>, socket: &Arc<Socket>) -> Self {
        if let Some(state) = SocketState::of(socket) {
            state.lane.0.lock().get_or_insert_default();
        }
        Self { bridge: bridge.clone(), socket: Arc::downgrade(socket) }
    }

    /// The client whose events are to go on, at once.
    pub(crate) fn free(mut self) -> Option<Arc<Socket>> {
        mem::take(&mut self.socket).upgrade()
    }
}

impl Drop for Occupied {
    /// This may be anywhere, so the loop goes on with them later.
    fn drop(&mut self) {
        if let Some(socket) = self.socket.upgrade() {
            self.bridge.freed_lanes.lock().push(socket);
            self.bridge.waker.wake();
        }
    }
}

/// Looks, after a while, whether a client that has gone still waits for the same handler.
#[pyclass(frozen, module = "ferrio._native")]
struct LaneWatch(Own<Watched>);

struct Watched {
    bridge: Weak<Bridge>,
    socket: Weak<Socket>,
    n_before: u64,
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
    /// Gives back what can be handled at once. The rest is kept until the handler at work is done.
    pub(crate) fn enter_lane(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        socket: &Arc<Socket>,
        what: Deferred,
    ) -> PyResult<Option<Deferred>> {
        let state = SocketState::attach(py, socket);
        if self.is_closing() {
            // The handler at work may be the one that waits for the end.
            return Ok(Some(what));
        }
        let leaves = matches!(what, Deferred::Departure(..));
        let now = state.lane.queue(what);
        if now.is_none() && leaves {
            self.watch_lane(py, event_loop, socket)?;
        }
        Ok(now)
    }

    /// Sees to it that a client that has gone does not wait for ever for the handler at work.
    fn watch_lane(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        socket: &Arc<Socket>,
    ) -> PyResult<()> {
        let n_before = SocketState::of(socket).map_or(0, |state| state.lane.n_before());
        let (bridge, socket) = (Arc::downgrade(self), Arc::downgrade(socket));
        let watch = LaneWatch(Own::new(Watched { bridge, socket, n_before }));
        let lane_timeout = self.behaviour.lane_timeout.as_secs_f64();
        event_loop.object.call_method1(py, intern!(py, "call_later"), (lane_timeout, watch)).map(drop)
    }

    /// Has a client's disconnect be handled, if the handler at work is still the one that was at work before.
    fn leave_lane(self: &Arc<Self>, py: Python<'_>, socket: &Arc<Socket>, n_before: u64) -> PyResult<()> {
        let (Some(state), Ok(event_loop)) = (SocketState::of(socket), self.event_loop()) else {
            return Ok(());
        };
        match state.lane.leave(n_before) {
            None => Ok(()),
            Some(left) if left.is_empty() => self.watch_lane(py, &event_loop, socket),
            Some(mut left) => {
                let departure = left.pop_back().expect("the departure is the last");
                drop(left);
                self.handle(py, &event_loop, socket, departure).map(drop)
            }
        }
    }
}
