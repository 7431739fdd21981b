//! What adapters of JavaScript need besides commands: calls with a result, on the rare paths.

use bytes::Bytes;
use ferrio::{AckRequest, Payload, Writes};
use napi::{Result, bindgen_prelude::Uint8ArraySlice};
use napi_derive::napi;

use crate::{
    batch, commands,
    error::misuse,
    server::NativeServer,
    state::Held,
    value::{self, number},
};

/// A broadcast whose acks are reported one by one.
#[napi(object, object_to_js = false)]
pub struct AskEach {
    /// The namespace's number.
    pub namespace: f64,
    /// JSON texts, as in a command.
    pub rooms: String,
    /// The same for those who are left out.
    pub except: String,
    /// The flags' bits.
    pub flags: u32,
    /// Milliseconds; negative for none.
    pub timeout: f64,
    /// Under which the acks are reported.
    pub token: f64,
    /// The JSON text of the arguments.
    pub text: String,
}

#[napi]
impl NativeServer {
    /// Asks every socket of a selection for an ack. Returns how many they are. A record follows for each ack, and a last one.
    #[napi(catch_unwind)]
    pub fn ask_each(&self, ask: AskEach, attachments: Vec<Uint8ArraySlice<'_>>) -> Result<Option<u32>> {
        let Some(namespace) = self.find_namespace(ask.namespace) else { return Ok(None) };
        let selection = self.selection(&ask.rooms, &ask.except)?;
        let timeout = batch::duration(ask.timeout).map_err(|misfit| misuse(&misfit.to_string()))?;
        let request = AckRequest { token: number(ask.token), timeout };
        let (payload, flags) = (payload(&ask.text, &attachments), commands::flags_of(ask.flags.into()));
        let n_asked = namespace.emit_with_each_ack(&selection, &payload, flags, request, &mut Writes::new());
        Ok(u32::try_from(n_asked).ok())
    }

    /// A number for an ack of a packet that JavaScript makes; `null` where there is no such namespace.
    #[napi(catch_unwind)]
    pub fn next_ack_id(&self, namespace: f64) -> Option<f64> {
        self.find_namespace(namespace).map(|namespace| value::float(namespace.next_ack_id()))
    }

    /// Has acks told for which the core does not wait.
    #[napi(catch_unwind)]
    pub fn tell_unexpected_acks(&self) {
        self.server.tell_unexpected_acks();
    }

    /// The sessions of a namespace are kept by JavaScript.
    #[napi(catch_unwind)]
    pub fn leave_recovery_to_host(&self, namespace: f64) {
        if let Some(namespace) = self.find_namespace(namespace) {
            namespace.leave_recovery_to_host();
        }
    }

    /// Has a client that waits to be let in come under another id, and under a secret. Returns the number of the socket that
    /// it is from now on, or 0 when it has gone.
    #[napi(catch_unwind)]
    pub fn identify(&self, socket: f64, id: String, secret: String) -> f64 {
        let mut state = self.state.borrow_mut();
        let key = number(socket);
        let Some(Held::Pending(_)) = state.sockets.get(&key) else { return 0.0 };
        let Some(Held::Pending(connect_request)) = state.sockets.remove(&key) else { return 0.0 };
        let former = connect_request.socket().clone();
        if let Ok(identified) = connect_request.identify(&id, &secret) {
            let key = identified.socket().key().0;
            state.expect(identified);
            value::float(key)
        } else {
            // A record that says so is on its way.
            state.sockets.insert(key, Held::ConnectAborted(former));
            0.0
        }
    }

    /// Sends an event that a client has missed, before it is let in.
    #[napi(catch_unwind)]
    pub fn replay(&self, socket: f64, text: String, attachments: Vec<Uint8ArraySlice<'_>>) {
        self.with_socket(socket, |socket| {
            socket.replay(&payload(&text, &attachments), &mut Writes::new());
        });
    }
}

fn payload(text: &str, attachments: &[Uint8ArraySlice<'_>]) -> Payload {
    Payload::new(text, attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect())
}
