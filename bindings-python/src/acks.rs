//! How those who wait for acks are told.

use std::sync::Arc;

use ferrio::{AckOutcome, AckStatus};
use pyo3::{
    intern,
    prelude::*,
    types::{PyList, PyTuple},
};

use crate::{
    ack_target::AckTarget,
    bridge::{Bridge, EventLoop},
    error,
    futures::settle,
    handlers::is_awaitable,
    tasks::Purpose,
    value,
};

impl Bridge {
    pub(crate) fn acked(
        self: &Arc<Self>,
        py: Python<'_>,
        event_loop: &EventLoop,
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
                let context = event_loop.context.call_method0(py, intern!(py, "copy"))?;
                let result =
                    context.bind(py).call_method1(intern!(py, "run"), PyTuple::new(py, arguments)?)?;
                if is_awaitable(&result)? {
                    self.run_alone(py, event_loop, result, Purpose::None)?;
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
