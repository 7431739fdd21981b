//! What can be asked of many sockets at once.

use std::sync::atomic::{AtomicU64, Ordering};

use ferrio::{Room, Selection, Writes};
use napi::{Env, JsString, Result};
use napi_derive::napi;

use crate::{
    room,
    server::{DepartureRecord, NativeServer},
    value::{self, number},
};

#[napi]
impl NativeServer {
    /// A number for a namespace, which is made if need be.
    #[napi(catch_unwind)]
    pub fn namespace(&self, name: String) -> f64 {
        // For the whole process: what an object kept of a server that was closed names nothing in the next one.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.state.borrow_mut().namespaces.insert(number, self.server.namespace(&name));
        #[expect(clippy::cast_precision_loss, reason = "numbers count up from one")]
        let number = number as f64;
        number
    }

    /// Forgets the number of a namespace, if there is one, and removes the namespace if nobody is in it.
    #[napi(catch_unwind)]
    pub fn remove_namespace(&self, name: String, namespace: Option<f64>) {
        if let Some(namespace) = namespace {
            self.state.borrow_mut().namespaces.remove(&number(namespace));
        }
        self.server.remove_namespace(&name);
    }

    /// The numbers of the sockets of a selection.
    #[napi(catch_unwind)]
    pub fn fetch(&self, namespace: f64, rooms: String, except: String) -> Result<Vec<f64>> {
        let Some(namespace) = self.find_namespace(namespace) else { return Ok(Vec::new()) };
        let selected = namespace.select(&self.selection(&rooms, &except)?);
        #[expect(clippy::cast_precision_loss, reason = "keys count up from one")]
        let keys = selected.iter().map(|socket| socket.key().0 as f64).collect();
        Ok(keys)
    }

    /// Every room with its members, as JSON text.
    #[napi(catch_unwind)]
    pub fn rooms<'env>(&self, env: &'env Env, namespace: f64) -> Result<JsString<'env>> {
        let mut out = String::from("[");
        let namespace = self.find_namespace(namespace);
        for (room, members) in namespace.map(|namespace| namespace.rooms()).unwrap_or_default() {
            out.push_str(if out.len() == 1 { "[" } else { ",[" });
            room::push_json(&mut out, &room);
            out.push(',');
            value::push_json_list(&mut out, members.iter().map(|socket| &**socket.id()));
            out.push(']');
        }
        out.push(']');
        value::string(env, &out)
    }

    /// How many rooms there are.
    #[napi(catch_unwind)]
    pub fn room_count(&self, namespace: f64) -> u32 {
        let n_rooms = self.find_namespace(namespace).map_or(0, |namespace| namespace.n_rooms());
        u32::try_from(n_rooms).unwrap_or(u32::MAX)
    }

    /// The ids of a room's members.
    #[napi(catch_unwind)]
    pub fn members(&self, namespace: f64, room: String) -> Result<Vec<String>> {
        let Some(namespace) = self.find_namespace(namespace) else { return Ok(Vec::new()) };
        let members = namespace.members(self.room(&room)?);
        Ok(members.iter().map(|socket| socket.id().to_string()).collect())
    }

    /// How many members a room has.
    #[napi(catch_unwind)]
    pub fn room_size(&self, namespace: f64, room: String) -> Result<u32> {
        let Some(namespace) = self.find_namespace(namespace) else { return Ok(0) };
        let size = namespace.n_members(self.room(&room)?);
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    /// Disconnects the sockets of a selection.
    #[napi(catch_unwind)]
    pub fn disconnect_many(
        &self,
        namespace: f64,
        rooms: String,
        except: String,
        close: bool,
    ) -> Result<Vec<DepartureRecord>> {
        let Some(namespace) = self.find_namespace(namespace) else { return Ok(Vec::new()) };
        let selection = self.selection(&rooms, &except)?;
        let disconnected_sockets = namespace.disconnect(&selection, close, false, &mut Writes::new());
        Ok(self.keep_disconnected_sockets(disconnected_sockets))
    }

    /// The numbers of the values that no room stands for any more.
    #[napi(catch_unwind)]
    pub fn unused_rooms(&self) -> Vec<f64> {
        let unused = self.state.borrow_mut().rooms.take_unused();
        #[expect(clippy::cast_precision_loss, reason = "they count up from one")]
        let unused = unused.into_iter().map(|number| number as f64).collect();
        unused
    }
}

impl NativeServer {
    fn room(&self, text: &str) -> Result<Room> {
        room::read(&mut self.state.borrow_mut().rooms, text)
    }

    pub(crate) fn selection(&self, rooms: &str, except: &str) -> Result<Selection> {
        let known = &mut self.state.borrow_mut().rooms;
        Ok(Selection {
            rooms: room::read_list(known, rooms)?.into(),
            except: room::read_list(known, except)?.into(),
        })
    }
}
