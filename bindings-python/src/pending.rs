//! Futures of the core that the event loop's own thread polls.
//!
//! A request that can be answered at once is answered in the call that brings it, and what handlers emit reaches a
//! waiting poll in the same turn of the loop: no other thread takes part.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker as TaskWaker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use pyo3::{intern, prelude::*};

use crate::{body::Pieces, bridge::Bridge, process::Own, waker::Waker};

/// What a future of the core comes to, made into a Python value where the interpreter is held.
pub(crate) type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;
pub(crate) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The futures that want to be polled.
pub(crate) struct Ready {
    jobs: Mutex<Vec<Arc<Job>>>,
    /// Those that gave way to others while they were polled: they are for the loop's next turn.
    yielded: Mutex<Vec<Arc<Job>>>,
    /// Whether the loop will look at them without being woken.
    is_awake: AtomicBool,
    /// How many are under way.
    n_pending: AtomicUsize,
    waker: Arc<Waker>,
}

impl Ready {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            jobs: Mutex::default(),
            yielded: Mutex::default(),
            is_awake: AtomicBool::new(false),
            n_pending: AtomicUsize::new(0),
            waker,
        }
    }

    /// Says that [`poll`](Self::poll) will be called soon.
    pub(crate) fn stay_awake(&self) {
        self.is_awake.store(true, Ordering::Release);
    }

    /// Polls until none wants it but those that gave way.
    pub(crate) fn poll(&self, py: Python<'_>) {
        loop {
            self.is_awake.store(true, Ordering::Release);
            let jobs = std::mem::take(&mut *self.jobs.lock());
            if jobs.is_empty() {
                let yielded = std::mem::take(&mut *self.yielded.lock());
                if !yielded.is_empty() {
                    self.jobs.lock().extend(yielded);
                    self.waker.wake();
                    return;
                }
                self.is_awake.store(false, Ordering::Release);
                // One may have come between the look and the flag.
                if self.jobs.lock().is_empty() && self.yielded.lock().is_empty() {
                    return;
                }
            }
            for job in jobs {
                job.advance(py);
            }
        }
    }

    pub(crate) fn n_pending(&self) -> usize {
        self.n_pending.load(Ordering::Relaxed)
    }

    fn push(&self, job: Arc<Job>) {
        // One that is woken while it is polled gives way to others.
        let list = if job.is_polled.load(Ordering::Acquire) { &self.yielded } else { &self.jobs };
        list.lock().push(job);
        if !self.is_awake.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

/// One future of the core, and the asyncio future that waits for it.
pub(crate) struct Job {
    state: Mutex<State>,
    /// Made when the first poll did not end it.
    future: OnceLock<Py<PyAny>>,
    is_queued: AtomicBool,
    is_polled: AtomicBool,
    ready: Arc<Ready>,
}

enum State {
    /// Not begun, given up, or done.
    Over,
    Waiting(Work),
    /// The loop's thread polls it, without the lock: what comes to its end meanwhile may call the application.
    Polled,
}

impl Job {
    fn begin(&self, work: Work) {
        *self.state.lock() = State::Waiting(work);
        self.ready.n_pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends it, whatever it waits for. Returns whether it had not ended yet.
    fn end(&self) -> bool {
        let former = std::mem::replace(&mut *self.state.lock(), State::Over);
        let is_end = !matches!(former, State::Over);
        if is_end {
            self.ready.n_pending.fetch_sub(1, Ordering::Relaxed);
        }
        is_end
    }

    fn take(&self) -> Option<Work> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Polled) {
            State::Waiting(work) => Some(work),
            other => {
                *state = other;
                None
            }
        }
    }

    fn put_back(&self, work: Work) {
        let mut state = self.state.lock();
        if matches!(*state, State::Polled) {
            *state = State::Waiting(work);
            return;
        }
        // Given up meanwhile.
        drop(state);
        drop(work);
    }

    fn advance(self: &Arc<Self>, py: Python<'_>) {
        self.is_queued.store(false, Ordering::Release);
        let waker = TaskWaker::from(self.clone());
        let Some(mut work) = self.take() else { return };
        self.is_polled.store(true, Ordering::Release);
        let polled = poll(py, &mut work, &waker);
        self.is_polled.store(false, Ordering::Release);
        let Poll::Ready(outcome) = polled else { return self.put_back(work) };
        drop(work);
        if !self.end() {
            return;
        }
        let Some(future) = self.future.get().map(|future| future.bind(py)) else { return };
        let told = match outcome(py) {
            Ok(value) => settle(future, intern!(py, "set_result"), value.into_bound(py)),
            Err(error) => {
                settle(future, intern!(py, "set_exception"), error.into_value(py).into_bound(py).into_any())
            }
        };
        if let Err(error) = told {
            error.write_unraisable(py, Some(future));
        }
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            self.ready.clone().push(self);
        }
    }
}

/// Gives a result to an asyncio future, unless it was cancelled meanwhile.
pub(crate) fn settle(
    future: &Bound<'_, PyAny>,
    method: &Bound<'_, pyo3::types::PyString>,
    value: Bound<'_, PyAny>,
) -> PyResult<()> {
    if !future.call_method0(intern!(future.py(), "done"))?.is_truthy()? {
        future.call_method1(method, (value,))?;
    }
    Ok(())
}

/// Runs a future of the core: returns its value when it is there at once, else a [`Pending`].
pub(crate) fn start(py: Python<'_>, bridge: &Arc<Bridge>, work: Work) -> PyResult<Py<PyAny>> {
    start_with_body(py, bridge, work, Pieces::default())
}

/// The same for a request whose body may go on.
pub(crate) fn start_with_body(
    py: Python<'_>,
    bridge: &Arc<Bridge>,
    mut work: Work,
    body: Pieces,
) -> PyResult<Py<PyAny>> {
    let job = Arc::new(Job {
        state: Mutex::new(State::Over),
        future: OnceLock::new(),
        is_queued: AtomicBool::new(false),
        is_polled: AtomicBool::new(false),
        ready: bridge.ready.clone(),
    });
    let waker = TaskWaker::from(job.clone());
    if let Poll::Ready(outcome) = poll(py, &mut work, &waker) {
        return outcome(py);
    }
    let future = bridge.turn()?.event_loop.call_method0(py, intern!(py, "create_future"))?;
    // Woken already or not, it is polled again by this thread only, after this.
    let _ = job.future.set(future.clone_ref(py));
    job.begin(work);
    Ok(Py::new(py, Pending { work: Own::new((job, body)), future })?.into_any())
}

/// Without the interpreter: locks of the core must hold nobody up.
fn poll(py: Python<'_>, work: &mut Work, waker: &TaskWaker) -> Poll<Outcome> {
    py.detach(|| {
        let runtime = ferrio::runtime();
        let _entered = runtime.enter();
        work.as_mut().poll(&mut Context::from_waker(waker))
    })
}

/// Something of the core that is under way. When nobody has it any more, it is given up.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Pending {
    work: Own<(Arc<Job>, Pieces)>,
    /// The asyncio future that gets the result.
    #[pyo3(get)]
    future: Py<PyAny>,
}

#[pymethods]
impl Pending {
    /// Takes the next piece of the request's body.
    fn feed(&self, piece: &[u8], has_more: bool) -> PyResult<()> {
        self.work.here()?.1.push(Bytes::copy_from_slice(piece), has_more);
        Ok(())
    }

    /// Gives it up; nothing happens when it is done.
    fn cancel(&self) {
        // One of the parent's goes on with the parent.
        if let Some((job, _)) = self.work.get() {
            job.end();
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancel();
    }
}
