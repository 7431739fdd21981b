//! What can be asked of many sockets at once.

use ferrio::{Room, Selection, Writes};
use napi::{Env, JsString, Result};
use napi_derive::napi;

use crate::{
    room,
    server::{DepartureRecord, NativeServer},
    value,
};

#[napi]
impl NativeServer {
    /// The number of a namespace, which is made if need be.
    #[napi(catch_unwind)]
    pub fn namespace(&self, name: String) -> u32 {
        let namespace = self.server.namespace(&name);
        u32::try_from(self.state.borrow_mut().namespaces.insert(namespace)).unwrap_or(u32::MAX)
    }

    /// Removes a namespace that has no sockets.
    #[napi(catch_unwind)]
    pub fn remove_namespace(&self, namespace: u32) {
        if let Some(namespace) = self.state.borrow_mut().namespaces.try_remove(namespace as usize) {
            self.server.remove_namespace(namespace.name());
        }
    }

    /// The numbers of the sockets of a selection.
    #[napi(catch_unwind)]
    pub fn fetch(&self, namespace: u32, rooms: String, except: String) -> Result<Vec<f64>> {
        let selected = self.find_namespace(namespace)?.select(&self.selection(&rooms, &except)?);
        #[expect(clippy::cast_precision_loss, reason = "keys count up from one")]
        let keys = selected.iter().map(|socket| socket.key().0 as f64).collect();
        Ok(keys)
    }

    /// Every room with its members, as JSON text.
    #[napi(catch_unwind)]
    pub fn rooms<'env>(&self, env: &'env Env, namespace: u32) -> Result<JsString<'env>> {
        let mut out = String::from("[");
        for (room, members) in self.find_namespace(namespace)?.rooms() {
            out.push_str(if out.len() == 1 { "[" } else { ",[" });
            room::push_json(&mut out, &room);
            out.push(',');
            value::push_json_list(&mut out, members.iter().map(|socket| &**socket.id()));
            out.push(']');
        }
        out.push(']');
        value::string(env, &out)
    }

    /// The ids of a room's members.
    #[napi(catch_unwind)]
    pub fn members(&self, namespace: u32, room: String) -> Result<Vec<String>> {
        let members = self.find_namespace(namespace)?.members(self.room(&room)?);
        Ok(members.iter().map(|socket| socket.id().to_string()).collect())
    }

    /// How many members a room has.
    #[napi(catch_unwind)]
    pub fn room_size(&self, namespace: u32, room: String) -> Result<u32> {
        let size = self.find_namespace(namespace)?.n_members(self.room(&room)?);
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    /// Disconnects the sockets of a selection.
    #[napi(catch_unwind)]
    pub fn disconnect_many(
        &self,
        namespace: u32,
        rooms: String,
        except: String,
        close: bool,
    ) -> Result<Vec<DepartureRecord>> {
        let namespace = self.find_namespace(namespace)?;
        let selection = self.selection(&rooms, &except)?;
        let departures = namespace.disconnect(&selection, close, false, &mut Writes::new());
        Ok(self.keep_departures(departures))
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

    fn selection(&self, rooms: &str, except: &str) -> Result<Selection> {
        let known = &mut self.state.borrow_mut().rooms;
        Ok(Selection {
            rooms: room::read_list(known, rooms)?.into(),
            except: room::read_list(known, except)?.into(),
        })
    }
}
