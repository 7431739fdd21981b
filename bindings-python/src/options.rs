//! The application's keywords as values of the table of options, and the table for the package's tests.

use ferrio::{Config, Parser};
use ferrio_host::options::{
    self,
    Language::Python as InPython,
    Value,
    document::{plain_type, text},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};

use crate::error;

/// The core's configuration. The path is not one of the keywords: the package puts it with them later.
pub(crate) fn config(options: &Bound<'_, PyDict>) -> PyResult<Config> {
    let keywords = options.copy()?;
    let path = keywords.get_item("path")?.map(|path| path.extract()).transpose()?;
    if path.is_some() {
        keywords.del_item("path")?;
    }
    let mut config = read(&keywords)?;
    if let Some(path) = path {
        config.engine.path = path;
    }
    Ok(config)
}

/// The same of a server without Socket.IO.
pub(crate) fn engine_config(options: &Bound<'_, PyDict>) -> PyResult<Config> {
    Ok(Config { parser: Parser::None, ask_allow_request: true, ..config(options)? })
}

/// Refuses bad options.
#[pyfunction]
pub(crate) fn check_options(options: &Bound<'_, PyDict>) -> PyResult<()> {
    read(options).map(drop)
}

fn read(options: &Bound<'_, PyDict>) -> PyResult<Config> {
    options::read(InPython, &fields(options, DEPTH)?).map_err(|error| error::option(&error))
}

/// Every option by its name: its type, if it is one plain type, and what the package's documentation says of it.
#[pyfunction]
pub(crate) fn option_table(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let table = PyDict::new(py);
    for entry in options::entries() {
        if let Some(name) = entry.spelling(InPython) {
            table.set_item(name, (plain_type(entry, InPython), text(entry, InPython)))?;
        }
    }
    Ok(table)
}

/// Options are not nested deeper: what is, is described and not looked at, and no cycle is followed for ever.
const DEPTH: usize = 3;

fn fields(options: &Bound<'_, PyDict>, depth: usize) -> PyResult<Vec<(String, Value)>> {
    options.iter().map(|(name, option)| Ok((name.str()?.to_string(), value(&option, depth)?))).collect()
}

fn value(option: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let values = |items: Bound<'_, PyAny>| -> PyResult<Value> {
        items.try_iter()?.map(|item| value(&item?, depth - 1)).collect::<PyResult<_>>().map(Value::List)
    };
    Ok(if option.is_none() {
        Value::Null
    } else if let Ok(text) = option.cast::<PyString>() {
        text.to_str().map_or_else(|_| described(option), |text| Ok(Value::Text(text.to_owned())))?
    } else if let Ok(flag) = option.extract::<bool>() {
        Value::Flag(flag)
    } else if let Ok(number) = option.extract::<i128>() {
        Value::Whole(number)
    } else if let Ok(number) = option.extract::<f64>() {
        Value::Number(number)
    } else if option.is_callable() {
        Value::Function
    } else if depth == 0 {
        described(option)?
    } else if let Ok(map) = option.cast::<PyDict>() {
        Value::Map(fields(map, depth - 1)?)
    } else if is_list(option) {
        values(option.clone())?
    } else {
        described(option)?
    })
}

/// Whatever has a length and elements, as `list` would take it.
fn is_list(option: &Bound<'_, PyAny>) -> bool {
    !option.is_instance_of::<PyBytes>() && option.len().is_ok() && option.try_iter().is_ok()
}

fn described(option: &Bound<'_, PyAny>) -> PyResult<Value> {
    Ok(Value::Other(option.repr()?.to_string()))
}
