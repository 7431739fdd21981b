//! How a handler's coroutine runs: its first step at once, and in a task of its own if it waits.
//!
//! A task costs as much as all the rest of an event, and most handlers never wait. So a task is made ahead, and idles;
//! a handler takes its first step in that task's name: `asyncio.current_task()`, timeouts and cancellation mean what
//! they should. If the handler is done with it, the task goes on idling, for the next handler. If it waits, the task
//! becomes the handler's own and waits in its place, and another is made when one is needed.

use std::sync::{Arc, Weak, atomic::Ordering};

use ferrio::{Credit, Reply, Socket};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyAttributeError, PyRuntimeError, PyStopIteration},
    ffi, intern,
    prelude::*,
    types::{PyString, PyTuple, iterator::PySendResult},
};

use crate::{
    bridge::{Bridge, Turn},
    connect::Asked,
    lanes::Lane,
    process::Own,
};

/// What a handler's result is for. One that never ends keeps nothing of a client that has gone.
pub(crate) enum Purpose {
    /// Nobody looks at it.
    None,
    /// It is the ack for an event of this client, if it wants one.
    Answer {
        socket: Weak<Socket>,
        reply: Option<Reply>,
        /// The event's place among those of its client that are under way.
        _credit: Credit,
    },
    /// It lets a client in, or not.
    Admit(Asked),
}

/// A handler's coroutine with what belongs to it.
pub(crate) struct Work {
    pub(crate) coroutine: Py<PyAny>,
    /// The context variables it sees and sets.
    pub(crate) context: Py<PyAny>,
    pub(crate) purpose: Purpose,
    /// What holds back the client's further events.
    pub(crate) lane: Option<Lane>,
}

impl Work {
    fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.coroutine)?;
        visit.call(&self.context)
    }

    /// Whether it need not begin, because its client was put out.
    fn is_void(&self, bridge: &Bridge) -> bool {
        let Purpose::Answer { socket, .. } = &self.purpose else { return false };
        !socket.upgrade().is_some_and(|socket| bridge.listens_to(&socket))
    }
}

/// The coroutine of a task.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Handling(Own<Inner>);

pub(crate) struct Inner {
    bridge: Arc<Bridge>,
    state: Mutex<State>,
}

impl Inner {
    fn take(&self) -> State {
        std::mem::replace(&mut *self.state.lock(), State::Taken)
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
pub(crate) struct Reserve {
    handling: Py<Handling>,
    pub(crate) task: Py<PyAny>,
    idle: Py<PyAny>,
}

impl Reserve {
    /// Makes one on the running loop.
    pub(crate) fn new(py: Python<'_>, bridge: &Arc<Bridge>, turn: &Turn) -> PyResult<Self> {
        let idle = turn.event_loop.call_method0(py, intern!(py, "create_future"))?;
        let state = Mutex::new(State::Idle(idle.clone_ref(py)));
        let handling = Py::new(py, Handling(Own::new(Inner { bridge: bridge.clone(), state })))?;
        let task = turn.start_task.call1(py, (&handling,))?;
        // Nothing is lost with it when its loop is closed.
        quiet(py, &task, true);
        Ok(Self { handling, task, idle })
    }

    /// Whether nobody has cancelled it meanwhile.
    pub(crate) fn is_fit(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!self.idle.call_method0(py, intern!(py, "done"))?.is_truthy(py)?
            && matches!(*self.handling.get().0.here()?.state.lock(), State::Idle(_)))
    }

    /// Gives the task to a handler that waits.
    pub(crate) fn hand_over(self, py: Python<'_>, work: Work, awaited: Bound<'_, PyAny>) -> PyResult<()> {
        let handling = self.handling.get().0.here()?;
        *handling.state.lock() = State::Begun(work, awaited.unbind());
        handling.bridge.keep(self.handling.as_ptr() as usize, self.task.clone_ref(py));
        quiet(py, &self.task, false);
        self.idle.call_method1(py, intern!(py, "set_result"), (py.None(),))?;
        Ok(())
    }

    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.handling)?;
        visit.call(&self.task)?;
        visit.call(&self.idle)
    }

    /// Ends it.
    pub(crate) fn end(&self, py: Python<'_>) {
        // A loop that is closed has ended it already.
        let _ = self.task.call_method0(py, intern!(py, "cancel"));
    }
}

/// Whether asyncio is to be silent when a task ends with its loop. Tasks of other makes may not know of it.
fn quiet(py: Python<'_>, task: &Py<PyAny>, is_quiet: bool) {
    let _ = task.setattr(py, intern!(py, "_log_destroy_pending"), !is_quiet);
}

impl Handling {
    /// The coroutine of a task that takes the first step itself.
    pub(crate) fn new(bridge: &Arc<Bridge>, work: Work) -> Self {
        Self(Own::new(Inner { bridge: bridge.clone(), state: Mutex::new(State::New(work)) }))
    }

    pub(crate) fn is_done(&self) -> PyResult<bool> {
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
        this.bridge.let_go(slf.as_ptr() as usize);
        let used = this.bridge.use_result(slf.py(), work.purpose, result);
        let reported = used.or_else(|error| this.bridge.report(slf.py(), error));
        let freed = work.lane.map_or(Ok(()), |lane| lane.free(slf.py()));
        reported.and(freed)?;
        Ok(PySendResult::Return(slf.py().None().into_bound(slf.py())))
    }
}

#[pymethods]
impl Handling {
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
                this.bridge.let_go(slf.as_ptr() as usize);
                work.lane.map_or(Ok(()), |lane| lane.free(py))?;
                Ok(None)
            }
            State::New(work) | State::Running(work) => {
                let step = step(&this.bridge, work.context.bind(py), work.coroutine.bind(py));
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
            this.bridge.let_go(slf.as_ptr() as usize);
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

impl Bridge {
    /// Runs a coroutine, see `handling`. Returns whether it waits for something.
    pub(crate) fn start(
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
        let step = step(self, work.context.bind(py), work.coroutine.bind(py));
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

    /// A task that idles.
    pub(crate) fn reserve(self: &Arc<Self>, py: Python<'_>, turn: &Turn) -> PyResult<Reserve> {
        let reserve = self.reserve.lock().take();
        match reserve {
            Some(reserve) if reserve.is_fit(py)? => Ok(reserve),
            _ => Reserve::new(py, self, turn),
        }
    }

    pub(crate) fn put_back(&self, reserve: Reserve) {
        let former = self.reserve.lock().replace(reserve);
        drop(former);
    }

    /// Whether a handler may take its first step at once.
    pub(crate) fn may_step(&self) -> bool {
        self.may_step.load(Ordering::Relaxed)
    }

    /// What takes the steps of coroutines.
    pub(crate) fn stepper<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, Stepper>> {
        Ok(self.stepper.get_or_try_init(py, || Py::new(py, Stepper::default()))?.bind(py))
    }

    /// Keeps a task alive while it waits.
    pub(crate) fn keep(&self, handling: usize, task: Py<PyAny>) {
        let former = self.kept.lock().insert(handling, task);
        drop(former);
    }

    pub(crate) fn let_go(&self, handling: usize) {
        let task = self.kept.lock().remove(&handling);
        drop(task);
    }
}

/// Takes a coroutine's next step, in its own context.
pub(crate) fn step<'py>(
    bridge: &Bridge,
    context: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
) -> PyResult<PySendResult<'py>> {
    let py = context.py();
    let stepper = bridge.stepper(py)?;
    let value = context.call_method1(intern!(py, "run"), (stepper, coroutine))?;
    let has_returned = std::mem::take(&mut *stepper.get().has_returned.lock());
    Ok(if has_returned { PySendResult::Return(value) } else { PySendResult::Next(value) })
}

/// Takes a step without an exception to tell the last one.
#[pyclass(frozen, module = "ferrio._native")]
#[derive(Default)]
pub(crate) struct Stepper {
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
