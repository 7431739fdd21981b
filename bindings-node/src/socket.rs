//! What can be asked of one socket.

use ferrio::{Protocol, Watch, Writes};
use napi::{Env, JsString, Result};
use napi_derive::napi;

use crate::{
    request, room,
    server::{DepartureRecord, NativeServer},
    value,
};

#[napi]
impl NativeServer {
    /// The rooms of a socket, as JSON text.
    #[napi(catch_unwind)]
    pub fn socket_rooms<'env>(&self, env: &'env Env, socket: f64) -> Result<JsString<'env>> {
        let rooms = self.with_socket(socket, |socket| socket.rooms()).unwrap_or_default();
        let mut out = String::from("[");
        for room in &rooms {
            if out.len() > 1 {
                out.push(',');
            }
            room::push_json(&mut out, room);
        }
        out.push(']');
        value::string(env, &out)
    }

    /// The handshake of a socket's client as JSON text.
    #[napi(catch_unwind)]
    pub fn handshake<'env>(&self, env: &'env Env, socket: f64) -> Result<Option<JsString<'env>>> {
        let text = self.with_socket(socket, |socket| {
            let connection = socket.connection();
            let protocol = match connection.protocol() {
                Protocol::V3 => 3,
                Protocol::V4 => 4,
            };
            request::handshake(socket.handshake(), connection.id(), protocol, socket.transport().as_str())
        });
        text.map(|text| value::string(env, &text)).transpose()
    }

    /// Puts a client out of the namespace, or ends its whole connection.
    #[napi(catch_unwind)]
    pub fn disconnect(&self, socket: f64, close: bool) -> Vec<DepartureRecord> {
        let departures = self.with_socket(socket, |socket| socket.disconnect(close, &mut Writes::new()));
        self.keep_departures(departures.unwrap_or_default())
    }

    /// The transport of a connection at the moment; nothing once it is closed.
    #[napi(catch_unwind)]
    pub fn transport(&self, connection: String) -> Option<&'static str> {
        let connection = self.server.engine().session(&connection)?;
        connection.is_open().then(|| connection.transport().as_str())
    }

    /// Has the end of a connection told. Returns `false` when it has ended already.
    #[napi(catch_unwind)]
    pub fn watch_connection(&self, connection: String) -> bool {
        self.server
            .engine()
            .session(&connection)
            .is_some_and(|connection| self.server.watch(&connection, Watch::CLOSE))
    }

    /// Ends a connection, and with it all its sockets.
    #[napi(catch_unwind)]
    pub fn close_connection(&self, connection: String) -> Vec<DepartureRecord> {
        let connection = self.server.engine().session(&connection);
        self.keep_departures(
            connection.map(|connection| self.server.force_close(&connection)).unwrap_or_default(),
        )
    }
}
