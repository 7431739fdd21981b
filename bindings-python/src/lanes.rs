//! The order of one client's events, where each waits for the handler of the one before.

use std::sync::{Arc, Weak};

use pyo3::{intern, prelude::*};

use crate::{
    bridge::{Bridge, EventLoop},
    lane::Lane,
    process::Own,
};

/// Whose events may have to wait for each other.
pub(crate) trait Laned: Send + Sync + Sized + 'static {
    /// What may have to wait.
    type Deferred: Send;

    /// What waits; `None` where nothing can, yet.
    fn lane(&self) -> Option<&Lane<Self::Deferred>>;

    /// Whether it is the client's end, which is the last.
    fn is_end(what: &Self::Deferred) -> bool;

    /// Has something handled. Returns whether what follows has to wait for it.
    fn handle(
        self: &Arc<Self>,
        py: Python<'_>,
        bridge: &Arc<Bridge>,
        event_loop: &EventLoop,
        what: Self::Deferred,
    ) -> PyResult<bool>;
}

/// A client whose events wait, whatever it is.
pub(crate) trait InLine: Send + Sync {
    /// Goes on with its events. What ends the process comes back, after the others.
    fn go_on(self: Arc<Self>, py: Python<'_>, bridge: &Arc<Bridge>) -> PyResult<()>;

    /// Has its end handled, if the handler at work is still the one that was at work before.
    fn leave(self: Arc<Self>, py: Python<'_>, bridge: &Arc<Bridge>, n_before: u64) -> PyResult<()>;
}

impl<T: Laned> InLine for T {
    fn go_on(self: Arc<Self>, py: Python<'_>, bridge: &Arc<Bridge>) -> PyResult<()> {
        let (Some(lane), Ok(event_loop)) = (self.lane(), bridge.event_loop()) else { return Ok(()) };
        let mut end = Ok(());
        while let Some(what) = lane.next() {
            match self.handle(py, bridge, &event_loop, what) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => end = end.and(bridge.report(py, error)),
            }
        }
        end
    }

    fn leave(self: Arc<Self>, py: Python<'_>, bridge: &Arc<Bridge>, n_before: u64) -> PyResult<()> {
        let (Some(lane), Ok(event_loop)) = (self.lane(), bridge.event_loop()) else { return Ok(()) };
        match lane.leave(n_before, Self::is_end) {
            None => Ok(()),
            Some(left) if left.is_empty() => bridge.watch_lane(py, &event_loop, &self),
            Some(mut left) => {
                let end = left.pop_back().expect("the end is the last");
                drop(left);
                self.handle(py, bridge, &event_loop, end).map(drop)
            }
        }
    }
}

/// A handler for which its client's further events wait. When it is done, or nobody will ever run it again, they go on.
pub(crate) struct Occupied {
    bridge: Arc<Bridge>,
    client: Option<Weak<dyn InLine>>,
}

impl Occupied {
    pub(crate) fn new<T: Laned>(bridge: &Arc<Bridge>, client: &Arc<T>) -> Self {
        if let Some(lane) = client.lane() {
            lane.occupy();
        }
        let client: Weak<T> = Arc::downgrade(client);
        Self { bridge: bridge.clone(), client: Some(client) }
    }

    /// The client whose events are to go on, at once.
    pub(crate) fn free(mut self) -> Option<Arc<dyn InLine>> {
        self.client.take()?.upgrade()
    }
}

impl Drop for Occupied {
    /// This may be anywhere, so the loop goes on with them later.
    fn drop(&mut self) {
        if let Some(client) = self.client.take().and_then(|client| client.upgrade()) {
            self.bridge.freed_lanes.lock().push(client);
            self.bridge.waker.wake();
        }
    }
}

/// Looks, after a while, whether a client that has gone still waits for the same handler.
#[pyclass(frozen, module = "ferrio._native")]
struct LaneWatch(Own<Watched>);

struct Watched {
    bridge: Weak<Bridge>,
    client: Weak<dyn InLine>,
    n_before: u64,
}

#[pymethods]
impl LaneWatch {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let Watched { bridge, client, n_before } = self.0.here()?;
        match (bridge.upgrade(), client.upgrade()) {
            (Some(bridge), Some(client)) => client.leave(py, &bridge, *n_before),
            _ => Ok(()),
        }
    }
}

impl Bridge {
    /// Gives back what can be handled at once. The rest is kept until the handler at work is done.
    pub(crate) fn enter_lane<T: Laned>(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        client: &Arc<T>,
        what: T::Deferred,
    ) -> PyResult<Option<T::Deferred>> {
        // While everybody is put out, the handler at work may be the one that waits for the end.
        let Some(lane) = client.lane().filter(|_| !self.is_closing()) else { return Ok(Some(what)) };
        let leaves = T::is_end(&what);
        let now = lane.queue(what);
        if now.is_none() && leaves {
            self.watch_lane(py, event_loop, client)?;
        }
        Ok(now)
    }

    /// Sees to it that a client that has gone does not wait for ever for the handler at work.
    fn watch_lane<T: Laned>(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
        client: &Arc<T>,
    ) -> PyResult<()> {
        let n_before = client.lane().map_or(0, Lane::n_before);
        let client: Weak<T> = Arc::downgrade(client);
        let watch = LaneWatch(Own::new(Watched { bridge: Arc::downgrade(self), client, n_before }));
        let lane_timeout = self.behaviour.lane_timeout.as_secs_f64();
        event_loop.object.call_method1(py, intern!(py, "call_later"), (lane_timeout, watch)).map(drop)
    }
}
