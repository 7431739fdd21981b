//! A namespace, as the package sees it: emits and questions about many sockets.

use std::sync::Arc;

use ferrio::{Flags, Gathering, Namespace as CoreNamespace, Selection};
use pyo3::{prelude::*, types::PyString};

use crate::{
    ack_target::AckTarget,
    bridge::Bridge,
    process::Own,
    socket::{self, Socket},
};

#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Namespace(Own<Local>);

struct Local {
    namespace: Arc<CoreNamespace>,
    bridge: Arc<Bridge>,
}

impl Namespace {
    pub(crate) fn new(namespace: Arc<CoreNamespace>, bridge: &Arc<Bridge>) -> Self {
        Self(Own::new(Local { namespace, bridge: bridge.clone() }))
    }
}

impl Local {
    fn wrap(&self, socket: Arc<ferrio::Socket>) -> Socket {
        Socket::new(socket, self.bridge.clone())
    }

    /// A client of this namespace that is not in.
    fn unconnected(&self, sid: &str) -> Option<Arc<ferrio::Socket>> {
        let socket = self.bridge.unconnected.socket(sid)?;
        Arc::ptr_eq(socket.namespace(), &self.namespace).then_some(socket)
    }

    /// Those of them that are meant. In python-socketio they are in the namespace and their rooms already, so that
    /// a connect handler's broadcast reaches its own client; the core keeps it until the client is let in.
    fn unconnected_in(&self, selection: &Selection) -> Vec<Arc<ferrio::Socket>> {
        self.bridge
            .unconnected
            .sockets(|socket| Arc::ptr_eq(socket.namespace(), &self.namespace) && socket.is_meant(selection))
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
    fn name(&self) -> PyResult<&str> {
        Ok(self.0.here()?.namespace.name())
    }

    /// A socket by its id.
    fn socket(&self, sid: &Bound<'_, PyAny>) -> PyResult<Option<Socket>> {
        let this = self.0.here()?;
        // What is no text, or has a lone surrogate, is nobody's id.
        let Some(sid) = sid.cast::<PyString>().ok().and_then(|sid| sid.to_str().ok()) else {
            return Ok(None);
        };
        let socket = this.namespace.socket(sid).or_else(|| this.unconnected(sid));
        Ok(socket.map(|socket| this.wrap(socket)))
    }

    /// The sockets that are meant.
    #[pyo3(signature = (rooms = None, skip = None, skip_rooms = None))]
    fn sockets(
        &self,
        rooms: Option<&Bound<'_, PyAny>>,
        skip: Option<&Bound<'_, PyAny>>,
        skip_rooms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Socket>> {
        let this = self.0.here()?;
        let selection = this.selection(rooms, skip, skip_rooms)?;
        Ok(this.namespace.select(&selection).into_iter().map(|socket| this.wrap(socket)).collect())
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
        let this = self.0.here()?;
        let payload = this.bridge.json.event(event, data)?;
        let selection = this.selection(rooms, skip, skip_rooms)?;
        let flags = Flags { volatile, compress, local };
        let unconnected = this.unconnected_in(&selection);
        this.bridge.write(event.py(), |writes| {
            for socket in &unconnected {
                socket.emit(&payload, flags, writes);
            }
            this.namespace.emit(&selection, &payload, flags, writes);
        });
        Ok(())
    }

    /// Emits, and gives all answers to a future. Returns what gives up the wait.
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
    ) -> PyResult<Question> {
        let this = self.0.here()?;
        let payload = this.bridge.json.event(event, data)?;
        let selection = this.selection(rooms, skip, skip_rooms)?;
        let timeout = socket::duration(timeout)?;
        let asked = this.namespace.select(&selection);
        let ack = this.bridge.acks.expect(AckTarget::Many(future), timeout, &asked);
        let gathering = this.bridge.write(event.py(), |writes| {
            this.namespace.emit_with_ack(&selection, &payload, Flags::default(), ack, writes)
        });
        Ok(Question(Own::new((ack.token, gathering, this.bridge.clone()))))
    }

    /// Every room, with the ids of its members.
    fn rooms<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyAny>, Vec<String>)>> {
        let of = |members: Vec<Arc<ferrio::Socket>>| {
            members.iter().map(|socket| socket.id().to_string()).collect()
        };
        let this = self.0.here()?;
        let rooms = this.namespace.rooms().into_iter();
        rooms.map(|(room, members)| Ok((this.bridge.rooms.value(py, &room)?, of(members)))).collect()
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.0.here()?.namespace.n_sockets())
    }

    /// Empties a room.
    fn close_room(&self, room: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = self.0.here()?;
        let room = this.bridge.rooms.room(room)?;
        this.namespace.leave(&Selection::all().to(room.clone()), &[room], false);
        Ok(())
    }
}

/// An event whose receivers were asked for answers.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Question(Own<(u64, Gathering, Arc<Bridge>)>);

#[pymethods]
impl Question {
    /// Gives up the wait for the answers; nothing happens when it has ended.
    fn forget(&self) {
        // One of the parent's goes on with the parent.
        if let Some((token, gathering, bridge)) = self.0.get() {
            let target = bridge.acks.take(*token);
            drop(target);
            gathering.forget();
        }
    }
}
