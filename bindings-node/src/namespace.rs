//! What can be asked of many sockets at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ferrio::{Selection, Writes};
use napi::{Env, JsString, Result};
use napi_derive::napi;

use crate::{
    server::{DepartureRecord, NativeServer, number},
    value,
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
    pub fn fetch(&self, namespace: f64, rooms: Vec<String>, except: Vec<String>) -> Vec<f64> {
        let Some(namespace) = self.find_namespace(namespace) else { return Vec::new() };
        let selected = namespace.select(&selection(rooms, except));
        #[expect(clippy::cast_precision_loss, reason = "keys count up from one")]
        let keys = selected.iter().map(|socket| socket.key().0 as f64).collect();
        keys
    }

    /// Every room with its members, as JSON text.
    #[napi(catch_unwind)]
    pub fn rooms<'env>(&self, env: &'env Env, namespace: f64) -> Result<JsString<'env>> {
        let mut out = String::from("[");
        let namespace = self.find_namespace(namespace);
        for (room, members) in namespace.map(|namespace| namespace.rooms()).unwrap_or_default() {
            out.push_str(if out.len() == 1 { "[" } else { ",[" });
            value::push_json(&mut out, &room);
            out.push(',');
            value::push_json_list(&mut out, members.iter().map(|socket| &**socket.id()));
            out.push(']');
        }
        out.push(']');
        value::string(env, &out)
    }

    /// The ids of a room's members.
    #[napi(catch_unwind)]
    pub fn members(&self, namespace: f64, room: String) -> Vec<String> {
        let Some(namespace) = self.find_namespace(namespace) else { return Vec::new() };
        namespace.members(&room).iter().map(|socket| socket.id().to_string()).collect()
    }

    /// Disconnects the sockets of a selection.
    #[napi(catch_unwind)]
    pub fn disconnect_many(
        &self,
        namespace: f64,
        rooms: Vec<String>,
        except: Vec<String>,
        close: bool,
    ) -> Vec<DepartureRecord> {
        let Some(namespace) = self.find_namespace(namespace) else { return Vec::new() };
        let departures = namespace.disconnect(&selection(rooms, except), close, false, &mut Writes::new());
        self.keep_departures(departures)
    }
}

fn selection(rooms: Vec<String>, except: Vec<String>) -> Selection {
    Selection {
        rooms: rooms.into_iter().map(Arc::from).collect(),
        except: except.into_iter().map(Arc::from).collect(),
    }
}
