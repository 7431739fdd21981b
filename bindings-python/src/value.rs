//! Python values to JSON text with attachments, and back.

mod writer;

use bytes::Bytes;
use ferrio::Payload;
use jiter::{PythonParse, StringCacheMode};
use pyo3::{
    exceptions::{PyRecursionError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyList, PyString},
};

/// How the values of one server are written and read.
pub(crate) struct Json {
    /// A module with `dumps` and `loads` that the application chose; `None`: ferrio's own way.
    module: Option<Py<PyAny>>,
}

impl Json {
    pub(crate) fn new(module: Option<Py<PyAny>>) -> Self {
        Self { module }
    }

    /// For the garbage collector.
    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.module)
    }

    /// The values of an event's or ack's payload.
    pub(crate) fn values<'py>(&self, py: Python<'py>, payload: &Payload) -> PyResult<Bound<'py, PyList>> {
        Ok(self.value(py, payload)?.cast_into()?)
    }

    /// What a payload holds, with bytes where they were cut out.
    pub(crate) fn value<'py>(&self, py: Python<'py>, payload: &Payload) -> PyResult<Bound<'py, PyAny>> {
        let value = self.parse(py, payload.text())?;
        if payload.attachments().is_empty() {
            return Ok(value);
        }
        Ok(restore(&value, payload.attachments())?.unwrap_or(value))
    }

    /// What a text message of the engine is for its handler: the value, if it is JSON; but what begins with a digit, and
    /// may be a long number that JavaScript could not read, is text.
    pub(crate) fn message<'py>(&self, py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        let as_text = || PyString::new(py, text).into_any();
        if text.is_empty() || text.starts_with(char::is_numeric) {
            return Ok(as_text());
        }
        // Most texts are none, and an exception costs much.
        let first = text.trim_start_matches([' ', '\t', '\n', '\r']).chars().next();
        let may_be_json =
            matches!(first, Some('{' | '[' | '"' | '-' | 't' | 'f' | 'n' | 'N' | 'I' | '0'..='9'));
        if self.module.is_none() && !may_be_json {
            return Ok(as_text());
        }
        self.parse(py, text).or_else(|error| {
            let is_text =
                error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyRecursionError>(py);
            if is_text { Ok(as_text()) } else { Err(error) }
        })
    }

    /// One JSON value.
    fn parse<'py>(&self, py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        if let Some(module) = &self.module {
            return module.bind(py).call_method1(intern!(py, "loads"), (text,));
        }
        let parse = PythonParse { cache_mode: StringCacheMode::All, ..PythonParse::default() };
        parse.python_parse(py, text.as_bytes()).or_else(|_| {
            // What the core lets through and jiter does not: lone surrogates, and nesting beyond 200 levels.
            py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (text,))
        })
    }
}

/// What python-socketio hands to a callback: nothing, the bare value, or a tuple.
pub(crate) fn answer_value<'py>(answer: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyAny>> {
    match answer.len() {
        0 => Ok(answer.py().None().into_bound(answer.py())),
        1 => answer.get_item(0),
        _ => Ok(answer.to_tuple().into_any()),
    }
}

/// Puts the attachments where their placeholders stand, and returns the value to use instead of `value`, if another.
fn restore<'py>(value: &Bound<'py, PyAny>, attachments: &[Bytes]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    if let Ok(list) = value.cast::<PyList>() {
        for (idx, item) in list.iter().enumerate() {
            if let Some(bytes) = restore(&item, attachments)? {
                list.set_item(idx, bytes)?;
            }
        }
    } else if let Ok(dict) = value.cast::<PyDict>() {
        if let Some(flag) = dict.get_item(intern!(py, "_placeholder"))?
            && flag.is(PyBool::new(py, true).to_owned())
            && let Some(number) = dict.get_item(intern!(py, "num"))?
        {
            let attachment = number.extract().ok().and_then(|number: usize| attachments.get(number));
            let attachment =
                attachment.ok_or_else(|| PyValueError::new_err("a placeholder without attachment"))?;
            return Ok(Some(PyBytes::new(py, attachment).into_any()));
        }
        for (key, item) in dict.copy()? {
            if let Some(bytes) = restore(&item, attachments)? {
                dict.set_item(key, bytes)?;
            }
        }
    }
    Ok(None)
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().fully_qualified_name().map_or_else(|_| "this".to_owned(), |name| name.to_string())
}
