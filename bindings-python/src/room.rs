//! Rooms, which in Python may be any value that can be the key of a dictionary.

use std::collections::HashMap;

use ferrio::{NumberedRooms, Room, RoomNumber};
use parking_lot::Mutex;
use pyo3::{
    exceptions::PyTypeError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyFloat, PyInt, PyString, PyType},
};

/// So many values are numbered before those that no room stands for any more are looked for.
const MIN_TIDY: usize = 1024;

/// Whole numbers up to here are the same as `int` and as `float`.
const MAX_EXACT: i64 = 1 << 53;

/// The rooms of one server. Two values are the same room when they are the same key of a dictionary: texts and numbers
/// are rooms by themselves, what equals none of these is known by a number that it gets here.
pub(crate) struct Rooms {
    numbers: Py<PyDict>,
    numbered: Mutex<Numbered>,
}

/// Grows with the values that are in use, and by as many again before it is tidied.
struct Numbered {
    rooms: NumberedRooms,
    values: HashMap<u64, Py<PyAny>>,
    next: u64,
    tidy_at: usize,
}

impl Rooms {
    pub(crate) fn new(py: Python<'_>) -> Self {
        let numbered =
            Numbered { rooms: NumberedRooms::default(), values: HashMap::new(), next: 0, tidy_at: MIN_TIDY };
        Self { numbers: PyDict::new(py).unbind(), numbered: Mutex::new(numbered) }
    }

    /// For the garbage collector.
    pub(crate) fn visit(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.numbers)?;
        for value in self.numbered.try_lock().iter().flat_map(|numbered| numbered.values.values()) {
            visit.call(value)?;
        }
        Ok(())
    }

    /// The room that a value names.
    pub(crate) fn room(&self, value: &Bound<'_, PyAny>) -> PyResult<Room> {
        if let Ok(text) = value.cast::<PyString>() {
            // A text with a lone surrogate has no form in UTF-8.
            return text.to_str().map_or_else(|_| self.numbered_room(value), |text| Ok(text.into()));
        }
        if value.is_none() {
            return Err(PyTypeError::new_err("None is no room"));
        }
        match number(value) {
            Some(number) => Ok(RoomNumber::new(number).into()),
            None => self.numbered_room(value),
        }
    }

    /// Calls `visit` for a room, or for each room of a collection. Nothing, and what is empty, names none. Bytes are one
    /// room, as a text is: taken for a collection, they would name the rooms of their numbers.
    pub(crate) fn each(&self, value: Option<&Bound<'_, PyAny>>, mut visit: impl FnMut(Room)) -> PyResult<()> {
        let Some(value) = value else { return Ok(()) };
        if let Ok(text) = value.cast::<PyString>() {
            if !text.is_empty()? {
                visit(self.room(value)?);
            }
        } else if value.hasattr(intern!(value.py(), "__len__"))? && !value.is_instance_of::<PyBytes>() {
            for one in value.try_iter()? {
                visit(self.room(&one?)?);
            }
        } else {
            visit(self.room(value)?);
        }
        Ok(())
    }

    /// A value that names a room.
    pub(crate) fn value<'py>(&self, py: Python<'py>, room: &Room) -> PyResult<Bound<'py, PyAny>> {
        match room {
            Room::Text(text) => Ok(PyString::new(py, text).into_any()),
            Room::Number(number) => number_value(py, number.value()),
            Room::Other(bytes) => {
                let numbered = self.numbered.lock();
                let value = NumberedRooms::number(bytes).and_then(|number| numbered.values.get(&number));
                Ok(value.map_or_else(|| py.None().into_bound(py), |value| value.bind(py).clone()))
            }
        }
    }

    fn numbered_room(&self, value: &Bound<'_, PyAny>) -> PyResult<Room> {
        let numbers = self.numbers.bind(value.py());
        // The values' own `__hash__` and `__eq__` run here: not under the lock.
        if let Some(number) = numbers.get_item(value)? {
            return Ok(self.numbered.lock().rooms.room(number.extract()?));
        }
        self.tidy(value.py())?;
        let mut numbered = self.numbered.lock();
        let number = numbered.next;
        numbered.next += 1;
        let room = numbered.rooms.room(number);
        numbered.values.insert(number, value.clone().unbind());
        drop(numbered);
        // Another thread may have come first while the value's own `__hash__` ran.
        let known = numbers.call_method1(intern!(value.py(), "setdefault"), (value, number))?.extract()?;
        if known == number {
            return Ok(room);
        }
        let mut numbered = self.numbered.lock();
        let unneeded = numbered.values.remove(&number);
        let room = numbered.rooms.room(known);
        drop(numbered);
        drop(unneeded);
        Ok(room)
    }

    /// Forgets the values that no room stands for any more, if there may be many.
    fn tidy(&self, py: Python<'_>) -> PyResult<()> {
        let mut numbered = self.numbered.lock();
        if numbered.values.len() < numbered.tidy_at {
            return Ok(());
        }
        let unused = numbered.rooms.take_unused();
        let forgotten: Vec<_> = unused.iter().filter_map(|number| numbered.values.remove(number)).collect();
        numbered.tidy_at = MIN_TIDY.max(2 * numbered.values.len());
        drop(numbered);
        for value in forgotten {
            self.numbers.bind(py).del_item(value)?;
        }
        Ok(())
    }
}

/// The number that a value equals, unless it is one that a `float` cannot hold.
fn number(value: &Bound<'_, PyAny>) -> Option<f64> {
    static NUMBER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = value.py();
    let is_int = value.is_instance_of::<PyInt>();
    if is_int
        && let Ok(small) = value.extract::<i64>()
        && (-MAX_EXACT..=MAX_EXACT).contains(&small)
    {
        #[expect(clippy::cast_precision_loss, reason = "it is small enough")]
        return Some(small as f64);
    }
    if !is_int
        && !value.is_instance_of::<PyFloat>()
        && !value.is_instance(NUMBER.import(py, "numbers", "Number").ok()?).ok()?
    {
        return None;
    }
    // A `Decimal`, a `Fraction` or a `complex` is the same key as the number that it equals. NaN equals nothing.
    let number: f64 = value.getattr(intern!(py, "real")).ok()?.extract().ok()?;
    value.eq(number).ok()?.then_some(number)
}

/// A whole number is an `int`, which equals the `float`.
fn number_value(py: Python<'_>, number: f64) -> PyResult<Bound<'_, PyAny>> {
    /// Whole numbers below it fit into an `i64`.
    const TOO_LARGE: f64 = 9.2e18;
    if number.fract() != 0.0 || number.abs() > TOO_LARGE {
        return Ok(PyFloat::new(py, number).into_any());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and fits")]
    let whole = number as i64;
    Ok(whole.into_pyobject(py)?.into_any())
}
