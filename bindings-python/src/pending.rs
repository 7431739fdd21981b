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

use crate::{body::Pieces, bridge::Bridge, waker::Waker};

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
    work: Mutex<Option<Work>>,
    /// Made when the first poll did not end it.
    future: OnceLock<Py<PyAny>>,
    is_queued: AtomicBool,
    is_polled: AtomicBool,
    ready: Arc<Ready>,
}

impl Job {
    fn advance(self: &Arc<Self>, py: Python<'_>) {
        self.is_queued.store(false, Ordering::Release);
        let waker = TaskWaker::from(self.clone());
        let mut slot = self.work.lock();
        let Some(work) = slot.as_mut() else { return };
        self.is_polled.store(true, Ordering::Release);
        let polled = poll(py, work, &waker);
        self.is_polled.store(false, Ordering::Release);
        let Poll::Ready(outcome) = polled else { return };
        *slot = None;
        drop(slot);
        self.ready.n_pending.fetch_sub(1, Ordering::Relaxed);
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
        work: Mutex::new(None),
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
    *job.work.lock() = Some(work);
    job.ready.n_pending.fetch_add(1, Ordering::Relaxed);
    Ok(Py::new(py, Pending { job, future, body })?.into_any())
}

/// Without the interpreter: locks of the core must hold nobody up.
fn poll(py: Python<'_>, work: &mut Work, waker: &TaskWaker) -> Poll<Outcome> {
    py.detach(|| {
        let runtime = ferrio::runtime();
        let _entered = runtime.enter();
        work.as_mut().poll(&mut Context::from_waker(waker))
    })
}

/// Something of the core that is under way.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Pending {
    job: Arc<Job>,
    /// The asyncio future that gets the result.
    #[pyo3(get)]
    future: Py<PyAny>,
    body: Pieces,
}

#[pymethods]
impl Pending {
    /// Takes the next piece of the request's body.
    fn feed(&self, piece: &[u8], has_more: bool) {
        self.body.push(Bytes::copy_from_slice(piece), has_more);
    }

    /// Gives it up; nothing happens when it is done.
    fn cancel(&self, py: Python<'_>) {
        // The loop's thread may be polling it, and want the interpreter back before it lets go.
        let work = py.detach(|| self.job.work.lock().take());
        if work.is_some() {
            self.job.ready.n_pending.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
