//! What can be asked of one socket.

use ferrio::{Connection, Protocol, Writes};
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
            let (protocol, transport) = (protocol_number(connection), socket.transport().as_str());
            request::handshake(socket.handshake(), connection.id(), protocol, transport)
        });
        text.map(|text| value::string(env, &text)).transpose()
    }

    /// What was wrong with the packet or the transport that ended the connection of a socket, if that was why.
    #[napi(catch_unwind)]
    pub fn fault(&self, socket: f64) -> Option<&'static str> {
        self.with_socket(socket, |socket| socket.fault()).flatten()
    }

    /// Puts a client out of the namespace, or ends its whole connection.
    #[napi(catch_unwind)]
    pub fn disconnect(&self, socket: f64, close: bool) -> Vec<DepartureRecord> {
        let disconnected_sockets =
            self.with_socket(socket, |socket| socket.disconnect(close, &mut Writes::new()));
        self.keep_disconnected_sockets(disconnected_sockets.unwrap_or_default())
    }
}

pub(crate) fn protocol_number(connection: &Connection) -> u8 {
    match connection.protocol() {
        Protocol::V3 => 3,
        Protocol::V4 => 4,
    }
}
