//! Writing Python values as JSON text, with bytes set apart.

use std::fmt::Write;

use bytes::Bytes;
use ferrio::Payload;
use pyo3::{
    exceptions::{PyRecursionError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple},
};

use super::{Json, type_name};

/// How deep a value may be nested: below the depth at which Python itself gives up, far above what peers accept.
const MAX_DEPTH: usize = 900;

impl Json {
    /// An event: a tuple stands for many arguments, `None` for none.
    pub(crate) fn event(&self, name: &Bound<'_, PyString>, data: &Bound<'_, PyAny>) -> PyResult<Payload> {
        let mut writer = Writer::new(self);
        writer.out.push('[');
        writer.string(name)?;
        writer.arguments(data, "data", true)?;
        Ok(writer.finish())
    }

    /// An ack: a tuple stands for many arguments, `None` for none.
    pub(crate) fn answer(&self, value: &Bound<'_, PyAny>) -> PyResult<Payload> {
        let mut writer = Writer::new(self);
        writer.out.push('[');
        writer.arguments(value, "return value", false)?;
        Ok(writer.finish())
    }

    /// One value as JSON text, which has no place for bytes.
    pub(crate) fn text(&self, value: &Bound<'_, PyAny>, root: &str) -> PyResult<String> {
        let mut writer = Writer::new(self);
        writer.value(value, 0).map_err(|failure| failure.at(root))?;
        if writer.attachments.is_empty() {
            return Ok(writer.out);
        }
        Err(PyTypeError::new_err(format!("{root}: bytes cannot be sent here")))
    }
}

/// Writes values one after the other.
struct Writer<'a> {
    json: &'a Json,
    out: String,
    attachments: Vec<Bytes>,
}

/// An error, and where in the value it came up.
struct Failure {
    error: PyErr,
    path: String,
    /// Whether it is the application's own, which it gets as it is.
    is_foreign: bool,
}

impl Failure {
    fn new(error: PyErr) -> Self {
        Self { error, path: String::new(), is_foreign: false }
    }

    fn foreign(error: PyErr) -> Self {
        Self { is_foreign: true, ..Self::new(error) }
    }

    fn inside(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }

    fn at(self, root: &str) -> PyErr {
        if self.is_foreign {
            return self.error;
        }
        Python::attach(|py| {
            let kind = self.error.get_type(py);
            PyErr::from_type(kind, format!("{root}{}: {}", self.path, self.error.value(py)))
        })
    }
}

type Written = Result<(), Failure>;

impl<'a> Writer<'a> {
    fn new(json: &'a Json) -> Self {
        Self { json, out: String::with_capacity(128), attachments: Vec::new() }
    }

    fn finish(mut self) -> Payload {
        self.out.push(']');
        Payload::new(self.out, self.attachments)
    }

    fn arguments(&mut self, data: &Bound<'_, PyAny>, root: &str, follows: bool) -> PyResult<()> {
        if let Ok(many) = data.cast::<PyTuple>() {
            for (idx, argument) in many.iter_borrowed().enumerate() {
                if follows || idx > 0 {
                    self.out.push(',');
                }
                self.argument(&argument).map_err(|failure| failure.inside(&format!("[{idx}]")).at(root))?;
            }
        } else if !data.is_none() {
            if follows {
                self.out.push(',');
            }
            self.argument(data).map_err(|failure| failure.at(root))?;
        }
        Ok(())
    }

    /// One whole argument, by the application's module if it has one.
    fn argument(&mut self, value: &Bound<'_, PyAny>) -> Written {
        let Some(module) = &self.json.module else { return self.value(value, 0) };
        let py = value.py();
        let value = extract(value, &mut self.attachments, 0)?;
        let text = module.bind(py).call_method1(intern!(py, "dumps"), (value,)).map_err(Failure::foreign)?;
        if let Ok(bytes) = text.cast::<PyBytes>() {
            let text = String::from_utf8(bytes.as_bytes().to_vec());
            self.out.push_str(&text.map_err(|error| Failure::foreign(error.into()))?);
        } else {
            self.out.push_str(text.extract::<&str>().map_err(Failure::foreign)?);
        }
        Ok(())
    }

    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Written {
        if let Ok(text) = value.cast::<PyString>() {
            return self.string(text).map_err(Failure::new);
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict, depth);
        }
        if value.is_none() {
            self.out.push_str("null");
            return Ok(());
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            self.out.push_str(if flag.is_true() { "true" } else { "false" });
            return Ok(());
        }
        if let Ok(number) = value.cast::<PyInt>() {
            return self.int(number).map_err(Failure::new);
        }
        if let Ok(number) = value.cast::<PyFloat>() {
            return self.float(number.value()).map_err(Failure::new);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return self.array(list.iter(), depth);
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.array(tuple.iter(), depth);
        }
        if let Some(bytes) = bytes(value).map_err(Failure::new)? {
            self.placeholder(bytes);
            return Ok(());
        }
        let message = format!("{} can be sent neither as JSON nor as bytes", type_name(value));
        Err(Failure::new(PyTypeError::new_err(message)))
    }

    fn array<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> Written {
        check_depth(depth)?;
        self.out.push('[');
        for (idx, item) in items.enumerate() {
            if idx > 0 {
                self.out.push(',');
            }
            self.value(&item, depth + 1).map_err(|failure| failure.inside(&format!("[{idx}]")))?;
        }
        self.out.push(']');
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Written {
        check_depth(depth)?;
        self.out.push('{');
        for (idx, (key, item)) in dict.iter().enumerate() {
            if idx > 0 {
                self.out.push(',');
            }
            self.key(&key).map_err(Failure::new)?;
            self.out.push(':');
            self.value(&item, depth + 1).map_err(|failure| failure.inside(&format!("[{key:?}]")))?;
        }
        self.out.push('}');
        Ok(())
    }

    /// A key, in the form that `json.dumps` gives to those that are no `str`.
    fn key(&mut self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = key.cast::<PyString>() {
            return self.string(text);
        }
        self.out.push('"');
        if key.is_none() {
            self.out.push_str("null");
        } else if let Ok(flag) = key.cast::<PyBool>() {
            self.out.push_str(if flag.is_true() { "true" } else { "false" });
        } else if let Ok(number) = key.cast::<PyInt>() {
            self.int(number)?;
        } else if let Ok(number) = key.cast::<PyFloat>() {
            self.float(number.value())?;
        } else {
            let name = type_name(key);
            return Err(PyTypeError::new_err(format!(
                "keys must be str, int, float, bool or None, not {name}"
            )));
        }
        self.out.push('"');
        Ok(())
    }

    fn int(&mut self, number: &Bound<'_, PyInt>) -> PyResult<()> {
        if let Ok(small) = number.extract::<i64>() {
            write!(self.out, "{small}").map_err(|error| PyValueError::new_err(error.to_string()))
        } else {
            // The class's own way to write itself is not asked: an `IntEnum` would write its name.
            let digits =
                number.py().get_type::<PyInt>().call_method1(intern!(number.py(), "__repr__"), (number,))?;
            self.out.push_str(digits.extract()?);
            Ok(())
        }
    }

    fn float(&mut self, number: f64) -> PyResult<()> {
        if !number.is_finite() {
            return Err(PyValueError::new_err(format!("{number} has no place in JSON")));
        }
        write!(self.out, "{number:?}").map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn string(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        if let Ok(text) = text.to_str() {
            write_string(&mut self.out, text);
            return Ok(());
        }
        // Lone surrogates have no UTF-8, but JSON's escapes can name them. No Python code runs for it: what is being
        // written must not change meanwhile.
        let py = text.py();
        let encode = py.get_type::<PyString>().getattr(intern!(py, "encode"))?;
        let encoded = encode.call1((text, intern!(py, "utf-16-le"), intern!(py, "surrogatepass")))?;
        let units = encoded.cast::<PyBytes>()?.as_bytes().chunks_exact(2);
        let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        self.out.push('"');
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => write_escaped(&mut self.out, character.encode_utf8(&mut [0; 4])),
                Err(lone) => write_unit(&mut self.out, lone.unpaired_surrogate()),
            }
        }
        self.out.push('"');
        Ok(())
    }

    fn placeholder(&mut self, bytes: Bytes) {
        // Writing to a String never fails.
        let _ = write!(self.out, r#"{{"_placeholder":true,"num":{}}}"#, self.attachments.len());
        self.attachments.push(bytes);
    }
}

fn check_depth(depth: usize) -> Written {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    Err(Failure::new(PyRecursionError::new_err("a circular value, or one nested too deeply")))
}

/// A copy of a value in which placeholders stand for bytes, for JSON modules that know no bytes.
fn extract<'py>(
    value: &Bound<'py, PyAny>,
    attachments: &mut Vec<Bytes>,
    depth: usize,
) -> Result<Bound<'py, PyAny>, Failure> {
    let py = value.py();
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        check_depth(depth)?;
        let copy = PyDict::new(py);
        // Of a snapshot: the keys' own comparisons may change the dictionary.
        for pair in dict.items() {
            let (key, item): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
                pair.extract().map_err(Failure::foreign)?;
            copy.set_item(key, extract(&item, attachments, depth + 1)?).map_err(Failure::foreign)?;
        }
        Ok(copy.into_any())
    } else if value.is_instance_of::<PyList>() || value.is_exact_instance_of::<PyTuple>() {
        check_depth(depth)?;
        let copy = PyList::empty(py);
        for item in value.try_iter().map_err(Failure::foreign)? {
            let item = extract(&item.map_err(Failure::foreign)?, attachments, depth + 1)?;
            copy.append(item).map_err(Failure::foreign)?;
        }
        Ok(copy.into_any())
    } else if let Some(bytes) = bytes(value).map_err(Failure::foreign)? {
        placeholder(py, attachments, bytes).map_err(Failure::foreign)
    } else {
        Ok(value.clone())
    }
}

fn placeholder<'py>(
    py: Python<'py>,
    attachments: &mut Vec<Bytes>,
    bytes: Bytes,
) -> PyResult<Bound<'py, PyAny>> {
    let placeholder = PyDict::new(py);
    placeholder.set_item(intern!(py, "_placeholder"), true)?;
    placeholder.set_item(intern!(py, "num"), attachments.len())?;
    attachments.push(bytes);
    Ok(placeholder.into_any())
}

/// The content of `bytes`, `bytearray` and `memoryview`.
fn bytes(value: &Bound<'_, PyAny>) -> PyResult<Option<Bytes>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        Ok(Some(Bytes::copy_from_slice(bytes.as_bytes())))
    } else if let Ok(array) = value.cast::<PyByteArray>() {
        Ok(Some(array.to_vec().into()))
    } else if value.is_instance_of::<PyMemoryView>() {
        let copy = value.call_method0(intern!(value.py(), "tobytes"))?;
        Ok(Some(Bytes::copy_from_slice(copy.extract()?)))
    } else {
        Ok(None)
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    write_escaped(out, text);
    out.push('"');
}

fn write_escaped(out: &mut String, text: &str) {
    let mut start = 0;
    for (idx, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..idx]);
        start = idx + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => write_unit(out, u16::from(control)),
        }
    }
    out.push_str(&text[start..]);
}

fn write_unit(out: &mut String, unit: u16) {
    // Writing to a String never fails.
    let _ = write!(out, "\\u{unit:04x}");
}
