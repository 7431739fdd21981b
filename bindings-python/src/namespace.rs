//! A namespace, as the package sees it: emits and questions about many sockets.

use std::sync::Arc;

use ferrio::{Flags, Namespace as CoreNamespace, Selection};
use pyo3::{prelude::*, types::PyString};

use crate::{
    bridge::{AckTarget, Bridge},
    socket::{self, Socket},
};

#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Namespace {
    namespace: Arc<CoreNamespace>,
    bridge: Arc<Bridge>,
}

impl Namespace {
    pub(crate) fn new(namespace: Arc<CoreNamespace>, bridge: &Arc<Bridge>) -> Self {
        Self { namespace, bridge: bridge.clone() }
    }

    fn wrap(&self, socket: Arc<ferrio::Socket>) -> Socket {
        Socket { socket, bridge: self.bridge.clone() }
    }

    /// A client of this namespace whose connect handler has not decided yet.
    fn pending(&self, sid: &str) -> Option<Arc<ferrio::Socket>> {
        let pending = self.bridge.pending.lock();
        pending.get(sid).filter(|socket| Arc::ptr_eq(socket.namespace(), &self.namespace)).cloned()
    }

    /// Those of them that are meant. In python-socketio they are in the namespace and their rooms already, so that
    /// a connect handler's broadcast reaches its own client; the core keeps it until the client is let in.
    fn pending_in(&self, selection: &Selection) -> Vec<Arc<ferrio::Socket>> {
        let pending = self.bridge.pending.lock();
        let here = pending.values().filter(|socket| Arc::ptr_eq(socket.namespace(), &self.namespace));
        here.filter(|socket| socket.is_meant(selection)).cloned().collect()
    }

    /// Who is meant by rooms, sockets to skip and rooms to skip; no rooms mean everybody.
    fn selection(
        &self,
        rooms: Option<&Bound<'_, PyAny>>,
        skip: Option<&Bound<'_, PyAny>>,
        skip_rooms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Selection> {
        let mut selection = Selection::all();
        self.bridge.rooms.each(rooms, |room| selection.rooms.push(room))?;
        self.bridge.rooms.each(skip, |room| selection.except.push(room))?;
        self.bridge.rooms.each(skip_rooms, |room| selection.except.push(room))?;
        Ok(selection)
    }
}

#[pymethods]
impl Namespace {
    #[getter]
    fn name(&self) -> &str {
        self.namespace.name()
    }

    /// A socket by its id.
    fn socket(&self, sid: &Bound<'_, PyString>) -> Option<Socket> {
        // No id has a lone surrogate.
        let sid = sid.to_str().ok()?;
        let socket = self.namespace.socket(sid).or_else(|| self.pending(sid));
        socket.map(|socket| self.wrap(socket))
    }

    /// The sockets that are meant.
    #[pyo3(signature = (rooms = None, skip = None, skip_rooms = None))]
    fn sockets(
        &self,
        rooms: Option<&Bound<'_, PyAny>>,
        skip: Option<&Bound<'_, PyAny>>,
        skip_rooms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Socket>> {
        let selection = self.selection(rooms, skip, skip_rooms)?;
        Ok(self.namespace.select(&selection).into_iter().map(|socket| self.wrap(socket)).collect())
    }

    #[pyo3(signature = (event, data, rooms = None, skip = None, skip_rooms = None, volatile = false, compress = true, local = false))]
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python call")]
    fn emit(
        &self,
        event: &Bound<'_, PyString>,
        data: &Bound<'_, PyAny>,
        rooms: Option<&Bound<'_, PyAny>>,
        skip: Option<&Bound<'_, PyAny>>,
        skip_rooms: Option<&Bound<'_, PyAny>>,
        volatile: bool,
        compress: bool,
        local: bool,
    ) -> PyResult<()> {
        let payload = self.bridge.json.event(event, data)?;
        let selection = self.selection(rooms, skip, skip_rooms)?;
        let flags = Flags { volatile, compress, local };
        let pending = self.pending_in(&selection);
        self.bridge.write(event.py(), |writes| {
            for socket in pending {
                socket.emit(&payload, flags, writes);
            }
            self.namespace.emit(&selection, &payload, flags, writes);
        });
        Ok(())
    }

    /// Emits, and gives all answers to a future.
    #[pyo3(signature = (event, data, future, timeout, rooms = None, skip = None, skip_rooms = None))]
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python call")]
    fn emit_with_ack(
        &self,
        event: &Bound<'_, PyString>,
        data: &Bound<'_, PyAny>,
        future: Py<PyAny>,
        timeout: Option<f64>,
        rooms: Option<&Bound<'_, PyAny>>,
        skip: Option<&Bound<'_, PyAny>>,
        skip_rooms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let payload = self.bridge.json.event(event, data)?;
        let selection = self.selection(rooms, skip, skip_rooms)?;
        let ack = self.bridge.expect_ack(AckTarget::Many(future), socket::duration(timeout)?);
        self.bridge.write(event.py(), |writes| {
            self.namespace.emit_with_ack(&selection, &payload, Flags::default(), ack, writes);
        });
        Ok(())
    }

    /// Every room, with the ids of its members.
    fn rooms<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyAny>, Vec<String>)>> {
        let of = |members: Vec<Arc<ferrio::Socket>>| {
            members.iter().map(|socket| socket.id().to_string()).collect()
        };
        let rooms = self.namespace.rooms().into_iter();
        rooms.map(|(room, members)| Ok((self.bridge.rooms.value(py, &room)?, of(members)))).collect()
    }

    fn __len__(&self) -> usize {
        self.namespace.n_sockets()
    }

    /// Empties a room.
    fn close_room(&self, room: &Bound<'_, PyAny>) -> PyResult<()> {
        let room = self.bridge.rooms.room(room)?;
        self.namespace.leave(&Selection::all().to(room.clone()), &[room], false);
        Ok(())
    }
}
