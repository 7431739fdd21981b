//! How a handler's coroutine runs: its first step at once, and in a task of its own if it waits.
//!
//! A task costs as much as all the rest of an event, and most handlers never wait. So a task is made ahead, and idles;
//! a handler takes its first step in that task's name: `asyncio.current_task()`, timeouts and cancellation mean what
//! they should. If the handler is done with it, the task goes on idling, for the next handler. If it waits, the task
//! becomes the handler's own and waits in its place, and another is made when one is needed.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use ferrio::{Ack, Credit, Socket};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyAttributeError, PyRuntimeError, PyStopIteration},
    ffi, intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyString, PyTuple, iterator::PySendResult},
};

use crate::{
    bridge::{Bridge, EventLoop},
    lanes::{Laned, Occupied},
    process::Own,
    sessions::{Opening, SessionState},
    unconnected::Connecting,
};

/// The tasks of one server's handlers.
pub(crate) struct Tasks {
    /// Whether no task is at work, so that handlers may take their first steps.
    may_step: AtomicBool,
    idle_task: Mutex<Option<IdleTask>>,
    stepper: PyOnceLock<Py<Stepper>>,
    /// Tasks that wait, by the addresses of their coroutines: asyncio alone would not keep them.
    kept: Mutex<HashMap<usize, Py<PyAny>>>,
}

/// What became of a coroutine's first step.
pub(crate) enum FirstStep<'py> {
    /// It was the last.
    Ended(Purpose, PyResult<Bound<'py, PyAny>>),
    /// It has to wait, in a task.
    Waits,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            may_step: AtomicBool::new(false),
            idle_task: Mutex::default(),
            stepper: PyOnceLock::new(),
            kept: Mutex::default(),
        }
    }

    /// Says whether handlers may take their first steps at once. Returns whether they could.
    pub(crate) fn let_step(&self, may_step: bool) -> bool {
        self.may_step.swap(may_step, Ordering::Relaxed)
    }

    /// A task that idles.
    fn idle_task(&self, py: Python<'_>, bridge: &Arc<Bridge>, event_loop: &EventLoop) -> PyResult<IdleTask> {
        let idle_task = self.idle_task.lock().take();
        match idle_task {
            Some(idle_task) if idle_task.is_fit(py)? => Ok(idle_task),
            _ => IdleTask::new(py, bridge, event_loop),
        }
    }

    fn put_back(&self, idle_task: IdleTask) {
        let former = self.idle_task.lock().replace(idle_task);
        drop(former);
    }

    /// Keeps a task alive while it waits.
    fn keep(&self, coroutine: &Py<HandlerCoroutine>, task: Py<PyAny>) {
        let former = self.kept.lock().insert(coroutine.as_ptr() as usize, task);
        drop(former);
    }

    fn let_go(&self, coroutine: &Bound<'_, HandlerCoroutine>) {
        let task = self.kept.lock().remove(&(coroutine.as_ptr() as usize));
        drop(task);
    }

    /// Takes a coroutine's next step, in its own context.
    fn step<'py>(
        &self,
        context: &Bound<'py, PyAny>,
        coroutine: &Bound<'py, PyAny>,
    ) -> PyResult<PySendResult<'py>> {
        let py = context.py();
        let stepper = self.stepper.get_or_try_init(py, || Py::new(py, Stepper::default()))?.bind(py);
        let value = context.call_method1(intern!(py, "run"), (stepper, coroutine))?;
        let has_returned = mem::take(&mut *stepper.get().has_returned.lock());
        Ok(if has_returned { PySendResult::Return(value) } else { PySendResult::Next(value) })
    }

    /// Ends the task that idles. Returns those of handlers that are still at work.
    pub(crate) fn end(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let idle_task = self.idle_task.lock().take();
        if let Some(idle_task) = idle_task {
            idle_task.end(py);
        }
        mem::take(&mut *self.kept.lock()).into_values().collect()
    }

    /// Forgets them all.
    pub(crate) fn clear(&self) {
        let idle_task = self.idle_task.lock().take();
        let kept = mem::take(&mut *self.kept.lock());
        drop((idle_task, kept));
    }

    /// How many handlers wait.
    pub(crate) fn n_waiting(&self) -> usize {
        self.kept.lock().len()
    }

    /// For the garbage collector. What is locked is at work, and refers to nothing that can go.
    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(idle_task) = self.idle_task.try_lock()
            && let Some(idle_task) = &*idle_task
        {
            idle_task.visit(visit)?;
        }
        for task in self.kept.try_lock().iter().flat_map(|kept| kept.values()) {
            visit.call(task)?;
        }
        Ok(())
    }
}

impl Bridge {
    /// Has a coroutine take its first step and, if that is not its last, wait in a task of its own. Further events of the
    /// client `lane` wait with it.
    pub(crate) fn start<'py, T: Laned>(
        self: &Arc<Self>,
        py: Python<'py>,
        event_loop: &EventLoop,
        coroutine: Bound<'py, PyAny>,
        purpose: Purpose,
        lane: Option<&Arc<T>>,
    ) -> PyResult<FirstStep<'py>> {
        let is_coroutine = coroutine.get_type().hasattr(intern!(py, "send"))?;
        let coroutine =
            if is_coroutine { coroutine } else { coroutine.call_method0(intern!(py, "__await__"))? };
        let context = event_loop.context.call_method0(py, intern!(py, "copy"))?;
        let mut work = Work { coroutine: coroutine.unbind(), context, purpose, occupied: None };
        if !self.tasks.may_step.load(Ordering::Relaxed) {
            work.occupied = lane.map(|client| Occupied::new(self, client));
            let coroutine = Py::new(py, HandlerCoroutine::new(self, work))?;
            let task = event_loop.start_task.call1(py, (&coroutine,))?;
            if !coroutine.get().is_done()? {
                self.tasks.keep(&coroutine, task);
            }
            return Ok(FirstStep::Waits);
        }
        let idle_task = self.tasks.idle_task(py, self, event_loop)?;
        event_loop.enter_task.call1(py, (&event_loop.object, &idle_task.task))?;
        let step = self.tasks.step(work.context.bind(py), work.coroutine.bind(py));
        event_loop.leave_task.call1(py, (&event_loop.object, &idle_task.task))?;
        let result = match step {
            Ok(PySendResult::Next(awaited)) => {
                work.occupied = lane.map(|client| Occupied::new(self, client));
                idle_task.hand_over(py, work, awaited)?;
                return Ok(FirstStep::Waits);
            }
            Ok(PySendResult::Return(value)) => Ok(value),
            Err(error) => Err(error),
        };
        self.tasks.put_back(idle_task);
        Ok(FirstStep::Ended(work.purpose, result))
    }
}

/// What a handler's result is for. One that never ends keeps nothing of a client that has gone.
pub(crate) enum Purpose {
    /// Nobody looks at it.
    None,
    /// It is the ack for an event of this client, if it wants one.
    Answer {
        socket: Weak<Socket>,
        ack: Option<Ack>,
        /// The event's place among those of its client that are under way.
        _credit: Credit,
    },
    /// It is for a message of this session.
    Message {
        session: Weak<SessionState>,
        /// The message's place among those of its client that are under way.
        _credit: Credit,
    },
    /// It lets a client in, or not.
    Connect(Connecting),
    /// It lets a session open, or not.
    Open(Opening),
}

/// A handler's coroutine with what belongs to it.
struct Work {
    coroutine: Py<PyAny>,
    /// The context variables it sees and sets.
    context: Py<PyAny>,
    purpose: Purpose,
    /// What the client's further events wait for.
    occupied: Option<Occupied>,
}

impl Work {
    fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.coroutine)?;
        visit.call(&self.context)
    }

    /// Whether it need not begin, because its client was put out.
    fn is_void(&self, bridge: &Bridge) -> bool {
        match &self.purpose {
            Purpose::Answer { socket, .. } => {
                !socket.upgrade().is_some_and(|socket| bridge.listens_to(&socket))
            }
            Purpose::Message { session, .. } => !bridge.listens_to_session(session),
            _ => false,
        }
    }
}

/// The coroutine of a task.
#[pyclass(frozen, module = "ferrio._native")]
struct HandlerCoroutine(Own<Inner>);

struct Inner {
    bridge: Arc<Bridge>,
    state: Mutex<State>,
}

impl Inner {
    fn take(&self) -> State {
        mem::replace(&mut *self.state.lock(), State::Taken)
    }
}

enum State {
    /// There is no handler yet; the task waits for this future.
    Idle(Py<PyAny>),
    /// The first step was taken; the task has to wait for what the handler waits for.
    Begun(Work, Py<PyAny>),
    /// The first step is still to be taken.
    New(Work),
    Running(Work),
    /// At a step, or done.
    Taken,
}

/// A task that idles.
struct IdleTask {
    coroutine: Py<HandlerCoroutine>,
    task: Py<PyAny>,
    idle: Py<PyAny>,
}

impl IdleTask {
    /// Makes one on the running loop.
    fn new(py: Python<'_>, bridge: &Arc<Bridge>, event_loop: &EventLoop) -> PyResult<Self> {
        let idle = event_loop.object.call_method0(py, intern!(py, "create_future"))?;
        let state = Mutex::new(State::Idle(idle.clone_ref(py)));
        let coroutine = Py::new(py, HandlerCoroutine(Own::new(Inner { bridge: bridge.clone(), state })))?;
        let task = event_loop.start_task.call1(py, (&coroutine,))?;
        // Nothing is lost with it when its loop is closed.
        quiet(py, &task, true);
        Ok(Self { coroutine, task, idle })
    }

    /// Whether nobody has cancelled it meanwhile.
    fn is_fit(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!self.idle.call_method0(py, intern!(py, "done"))?.is_truthy(py)?
            && matches!(*self.coroutine.get().0.here()?.state.lock(), State::Idle(_)))
    }

    /// Gives the task to a handler that waits.
    fn hand_over(self, py: Python<'_>, work: Work, awaited: Bound<'_, PyAny>) -> PyResult<()> {
        let coroutine = self.coroutine.get().0.here()?;
        *coroutine.state.lock() = State::Begun(work, awaited.unbind());
        coroutine.bridge.tasks.keep(&self.coroutine, self.task.clone_ref(py));
        quiet(py, &self.task, false);
        self.idle.call_method1(py, intern!(py, "set_result"), (py.None(),))?;
        Ok(())
    }

    fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.coroutine)?;
        visit.call(&self.task)?;
        visit.call(&self.idle)
    }

    /// Ends it.
    fn end(&self, py: Python<'_>) {
        // A loop that is closed has ended it already.
        let _ = self.task.call_method0(py, intern!(py, "cancel"));
    }
}

/// Whether asyncio is to be silent when a task ends with its loop. Tasks of other makes may not know of it.
fn quiet(py: Python<'_>, task: &Py<PyAny>, is_quiet: bool) {
    let _ = task.setattr(py, intern!(py, "_log_destroy_pending"), !is_quiet);
}

impl HandlerCoroutine {
    /// The coroutine of a task that takes the first step itself.
    fn new(bridge: &Arc<Bridge>, work: Work) -> Self {
        Self(Own::new(Inner { bridge: bridge.clone(), state: Mutex::new(State::New(work)) }))
    }

    fn is_done(&self) -> PyResult<bool> {
        Ok(matches!(*self.0.here()?.state.lock(), State::Taken))
    }

    /// Notes the outcome of one step, and acts on the last.
    fn stepped<'py>(
        slf: &Bound<'py, Self>,
        work: Work,
        step: PyResult<PySendResult<'py>>,
    ) -> PyResult<PySendResult<'py>> {
        let this = slf.get().0.here()?;
        let result = match step {
            Ok(PySendResult::Next(value)) => {
                *this.state.lock() = State::Running(work);
                return Ok(PySendResult::Next(value));
            }
            Ok(PySendResult::Return(value)) => Ok(value),
            Err(error) => Err(error),
        };
        this.bridge.tasks.let_go(slf);
        this.bridge.ended(slf.py(), work.purpose, result, work.occupied)?;
        Ok(PySendResult::Return(slf.py().None().into_bound(slf.py())))
    }
}

#[pymethods]
impl HandlerCoroutine {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get().0.here()?;
        match this.take() {
            State::Idle(idle) => {
                idle.setattr(py, intern!(py, "_asyncio_future_blocking"), true)?;
                *this.state.lock() = State::Idle(idle.clone_ref(py));
                Ok(Some(idle.into_bound(py)))
            }
            State::Begun(work, awaited) => {
                *this.state.lock() = State::Running(work);
                Ok(Some(awaited.into_bound(py)))
            }
            State::New(work) if work.is_void(&this.bridge) => {
                work.coroutine.call_method0(py, intern!(py, "close"))?;
                this.bridge.tasks.let_go(slf);
                work.occupied.map_or(Ok(()), |occupied| this.bridge.free(py, occupied))?;
                Ok(None)
            }
            State::New(work) | State::Running(work) => {
                let step = this.bridge.tasks.step(work.context.bind(py), work.coroutine.bind(py));
                match Self::stepped(slf, work, step)? {
                    PySendResult::Next(value) => Ok(Some(value)),
                    PySendResult::Return(_) => Ok(None),
                }
            }
            State::Taken => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }

    fn send<'py>(slf: &Bound<'py, Self>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        // A task sends nothing but None.
        Self::__next__(slf)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (*error))]
    fn throw<'py>(slf: &Bound<'py, Self>, error: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (State::Begun(work, _) | State::New(work) | State::Running(work)) = slf.get().0.here()?.take()
        else {
            return Err(PyErr::from_value(error.get_item(0)?));
        };
        let throw = work.coroutine.bind(py).getattr(intern!(py, "throw"))?;
        let arguments = std::iter::once(throw).chain(error.iter()).collect::<Vec<_>>();
        let step = work.context.bind(py).call_method1(intern!(py, "run"), PyTuple::new(py, arguments)?);
        match Self::stepped(slf, work, as_step(py, step))? {
            PySendResult::Next(value) => Ok(value),
            PySendResult::Return(value) => Err(PyStopIteration::new_err((value.unbind(),))),
        }
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get().0.here()?;
        if let State::Begun(work, _) | State::New(work) | State::Running(work) = this.take() {
            this.bridge.tasks.let_go(slf);
            work.coroutine.bind(slf.py()).call_method0(intern!(slf.py(), "close"))?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        let Some(state) = self.0.get().and_then(|this| this.state.try_lock()) else { return Ok(()) };
        match &*state {
            State::Idle(idle) => visit.call(idle),
            State::New(work) | State::Running(work) => work.visit(&visit),
            State::Begun(work, awaited) => {
                visit.call(awaited)?;
                work.visit(&visit)
            }
            State::Taken => Ok(()),
        }
    }

    fn __clear__(&self) {
        if let Some(this) = self.0.get() {
            drop(this.take());
        }
    }

    /// Names, frames and code of the handler, for debuggers and error reports.
    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        // In a forked process it is nobody's, and debuggers ask nevertheless.
        let coroutine = self.0.get().and_then(|this| match &*this.state.lock() {
            State::Begun(work, _) | State::New(work) | State::Running(work) => {
                Some(work.coroutine.clone_ref(name.py()))
            }
            State::Idle(_) | State::Taken => None,
        });
        let coroutine = coroutine.ok_or_else(|| PyAttributeError::new_err(name.to_string()))?;
        coroutine.into_bound(name.py()).getattr(name)
    }
}

/// Takes a step without an exception to tell the last one.
#[pyclass(frozen, module = "ferrio._native")]
#[derive(Default)]
struct Stepper {
    has_returned: Mutex<bool>,
}

#[pymethods]
impl Stepper {
    fn __call__<'py>(&self, coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (value, has_returned) = match send(coroutine)? {
            PySendResult::Next(value) => (value, false),
            PySendResult::Return(value) => (value, true),
        };
        *self.has_returned.lock() = has_returned;
        Ok(value)
    }
}

#[expect(unsafe_code, reason = "pyo3 offers this call for generators only")]
fn send<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<PySendResult<'py>> {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    let none = py.None();
    // SAFETY: all three pointers are valid while the interpreter is held, and on success the result is a new
    // reference, which is taken over exactly once.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), none.as_ptr(), &raw mut result) {
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
            ffi::PySendResult::PYGEN_RETURN => Ok(PySendResult::Return(Bound::from_owned_ptr(py, result))),
            ffi::PySendResult::PYGEN_NEXT => Ok(PySendResult::Next(Bound::from_owned_ptr(py, result))),
        }
    }
}

fn as_step<'py>(py: Python<'py>, step: PyResult<Bound<'py, PyAny>>) -> PyResult<PySendResult<'py>> {
    match step {
        Ok(value) => Ok(PySendResult::Next(value)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            Ok(PySendResult::Return(error.value(py).getattr(intern!(py, "value"))?))
        }
        Err(error) => Err(error),
    }
}
