//! The coroutine that a handler's task runs: the handler itself, then what its result is for.

use std::sync::Arc;

use ferrio::{Admission, Reply, Socket};
use parking_lot::Mutex;
use pyo3::{
    exceptions::PyStopIteration,
    ffi, intern,
    prelude::*,
    types::{PyTuple, iterator::PySendResult},
};

use crate::callback::Bridge;

/// What a handler's result is for.
pub(crate) enum Purpose {
    /// Nobody looks at it.
    None,
    /// It is the client's ack.
    Answer(Reply),
    /// It lets a client in, or not.
    Admit(Option<Admission>, Arc<Socket>),
}

/// Wraps a handler's coroutine, so that its task needs no callback of its own to use the result.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Handling {
    handler: Py<PyAny>,
    bridge: Arc<Bridge>,
    state: Mutex<State>,
}

struct State {
    purpose: Option<Purpose>,
    /// The socket whose further events wait for this handler.
    lane: Option<Arc<Socket>>,
    /// Whether asyncio, which knows tasks only weakly, is helped to keep this one.
    is_kept: bool,
}

impl Handling {
    pub(crate) fn new(
        bridge: &Arc<Bridge>,
        handler: Bound<'_, PyAny>,
        purpose: Purpose,
        lane: Option<Arc<Socket>>,
    ) -> Self {
        let state = Mutex::new(State { purpose: Some(purpose), lane, is_kept: false });
        Self { handler: handler.unbind(), bridge: bridge.clone(), state }
    }

    /// Notes the outcome of one step, and acts on the last.
    fn stepped<'py>(
        slf: &Bound<'py, Self>,
        step: PyResult<PySendResult<'py>>,
    ) -> PyResult<PySendResult<'py>> {
        let this = slf.get();
        let result = match step {
            Ok(PySendResult::Next(value)) => {
                let is_first = !std::mem::replace(&mut this.state.lock().is_kept, true);
                if is_first {
                    this.bridge.keep(slf)?;
                }
                return Ok(PySendResult::Next(value));
            }
            Ok(PySendResult::Return(value)) => Ok(value),
            Err(error) => Err(error),
        };
        let (purpose, lane, is_kept) = {
            let mut state = this.state.lock();
            (state.purpose.take(), state.lane.take(), state.is_kept)
        };
        if is_kept {
            this.bridge.let_go(slf)?;
        }
        let used = match purpose {
            Some(purpose) => this.bridge.use_result(slf.py(), purpose, result),
            None => result.map(drop),
        };
        if let Some(socket) = lane {
            this.bridge.next_in_lane(slf.py(), &socket);
        }
        used.map(|()| PySendResult::Return(slf.py().None().into_bound(slf.py())))
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
        let step = send(slf.get().handler.bind(slf.py()));
        match Self::stepped(slf, step)? {
            PySendResult::Next(value) => Ok(Some(value)),
            PySendResult::Return(_) => Ok(None),
        }
    }

    fn send<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let step = slf.get().handler.bind(slf.py()).call_method1(intern!(slf.py(), "send"), (value,));
        Self::stepped(slf, as_step(slf.py(), step)).and_then(as_result)
    }

    #[pyo3(signature = (*error))]
    fn throw<'py>(slf: &Bound<'py, Self>, error: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let step = slf.get().handler.bind(slf.py()).call_method1(intern!(slf.py(), "throw"), error);
        Self::stepped(slf, as_step(slf.py(), step)).and_then(as_result)
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().handler.bind(slf.py()).call_method0(intern!(slf.py(), "close"))?;
        Ok(())
    }

    /// Names, frames and code of the handler, for debuggers and error reports.
    fn __getattr__<'py>(&self, name: &Bound<'py, pyo3::types::PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.handler.bind(name.py()).getattr(name)
    }
}

/// One step of a coroutine.
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

fn as_result(step: PySendResult<'_>) -> PyResult<Bound<'_, PyAny>> {
    match step {
        PySendResult::Next(value) => Ok(value),
        PySendResult::Return(value) => Err(PyStopIteration::new_err((value.unbind(),))),
    }
}
