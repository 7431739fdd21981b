//! What can be asked of the engine, and of one of its sessions, which is named by its id.

use std::sync::Arc;

use ferrio::{Admitted, Connection, Data, Refusal, Watch};
use ferrio_host::options::{Language, core_error};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use napi::{
    Env, JsString, Result,
    bindgen_prelude::{Either, Uint8ArraySlice},
};
use napi_derive::napi;

use crate::{
    error::bad_option,
    options, request,
    server::{DepartureRecord, NativeServer},
    socket::protocol_number,
    value::{self, number},
};

/// What came of closing a session.
#[napi(object)]
pub struct ClosedSession {
    /// The sockets that left by it.
    pub sockets: Vec<DepartureRecord>,
    /// Whether its client has been told, or need not be. Otherwise it will be by its next poll.
    pub is_told: bool,
}

/// The bits of a session's state: the same as `SessionState` in `native.ts`.
const OPEN: u32 = 1;
const WEBSOCKET: u32 = 2;
const UPGRADING: u32 = 4;
const WRITABLE: u32 = 8;
const DRAINED: u32 = 16;

#[napi]
impl NativeServer {
    // ---- Of the engine

    /// What new sessions are watched for, as bits.
    #[napi(catch_unwind)]
    pub fn watch_new_sessions(&self, events: u32) {
        self.server.engine().watch_new_sessions(watch(events));
    }

    /// Whether refusals are told, headers asked for, and requests asked about.
    #[napi(catch_unwind)]
    pub fn ask(&self, refusals: bool, headers: bool, requests: bool) {
        self.server.tell_refusals(refusals);
        self.server.engine().ask_for_headers(headers);
        self.server.ask_about_requests(requests);
    }

    /// Changes the engine's options; `is_engine` as for a new server. Those that cannot be changed stay.
    #[napi(catch_unwind)]
    pub fn reconfigure(&self, env: Env, options: String, is_engine: bool) -> Result<()> {
        let config = options::parse(env, &options, is_engine)?.engine;
        let changed = self.server.engine().reconfigure(config);
        changed.map_err(|error| bad_option(env, &core_error(Language::Node, &error)))
    }

    /// Sends this to every session first.
    #[napi(catch_unwind)]
    pub fn greet(&self, message: Either<String, Uint8ArraySlice<'_>>) {
        self.server.engine().greet(Some(&match &message {
            Either::A(text) => Data::Text(text),
            Either::B(bytes) => Data::Binary((&**bytes).into()),
        }));
    }

    /// The ids of all sessions.
    #[napi(catch_unwind)]
    pub fn sessions(&self) -> Vec<String> {
        self.server.engine().sessions().iter().map(|session| session.id().to_string()).collect()
    }

    /// Lets a request open a session, under an id of its own if it has one. A number other than 0 is that of an object which
    /// JavaScript keeps.
    #[napi(catch_unwind)]
    pub fn admit_request(&self, question: f64, id: Option<String>, kept: f64) {
        let mut extensions = Extensions::new();
        if kept != 0.0 {
            extensions.insert(self.entry_points.keep(number(kept)));
        }
        let admitted = Admitted { id: id.map(Arc::from), extensions, ..Admitted::default() };
        self.state.borrow_mut().requests.answer(number(question), Ok(admitted));
    }

    /// Refuses a request, with a text, or without because no id could be made. It is not told of again.
    #[napi(catch_unwind)]
    pub fn refuse_request(&self, question: f64, message: Option<String>) {
        let refusal = message.map_or_else(|| Refusal::bad_request("ID_GENERATION_ERROR"), Refusal::forbidden);
        self.state.borrow_mut().requests.answer(number(question), Err(refusal.known()));
    }

    /// Says which headers an answer has besides, names and values in turn.
    #[napi(catch_unwind)]
    pub fn answer_headers(&self, question: f64, fields: Vec<String>) {
        let mut headers = HeaderMap::new();
        for field in fields.chunks_exact(2) {
            let value = HeaderValue::from_bytes(&request::latin1(&field[1]));
            if let (Ok(name), Ok(value)) = (field[0].parse::<HeaderName>(), value) {
                headers.append(name, value);
            }
        }
        self.state.borrow_mut().asked_headers.answer(number(question), headers);
    }

    // ---- Of one session

    /// The handshake of a session as JSON text.
    #[napi(catch_unwind)]
    pub fn session<'env>(&self, env: &'env Env, id: String) -> Result<Option<JsString<'env>>> {
        let text = self.find_session(&id).map(|session| {
            let transport = session.transport().as_str();
            request::handshake(session.handshake(), session.id(), protocol_number(&session), transport)
        });
        text.map(|text| value::string(env, &text)).transpose()
    }

    /// The state of a session as bits; 0 when it is over.
    #[napi(catch_unwind)]
    pub fn session_state(&self, id: String) -> u32 {
        let Some(session) = self.find_session(&id).filter(|session| session.is_open()) else { return 0 };
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        OPEN | bit(session.transport().as_str() == "websocket", WEBSOCKET)
            | bit(session.is_upgrading(), UPGRADING)
            | bit(session.is_writable(), WRITABLE)
            | bit(session.is_drained(), DRAINED)
    }

    /// Has these events of a session told, and no others. Returns `false` when it has ended already.
    #[napi(catch_unwind)]
    pub fn watch_session(&self, id: String, events: u32) -> bool {
        self.find_session(&id).is_some_and(|session| self.server.watch(&session, watch(events)))
    }

    /// Ends a session, and with it all its sockets; with `discard` without what waits for it.
    #[napi(catch_unwind)]
    pub fn close_session(&self, id: String, discard: bool) -> ClosedSession {
        let engine = self.server.engine();
        let session = self.find_session(&id);
        let disconnected_sockets =
            session.as_ref().map(|session| self.server.force_close(session)).unwrap_or_default();
        if discard {
            match &session {
                Some(session) => session.discard(ferrio::CloseReason::ForcedClose),
                None => engine.forget_ended(&id),
            }
        }
        ClosedSession {
            sockets: self.keep_disconnected_sockets(disconnected_sockets),
            is_told: !engine.has_ended_untold(&id),
        }
    }
}

impl NativeServer {
    pub(crate) fn find_session(&self, id: &str) -> Option<Arc<Connection>> {
        self.server.engine().session(id)
    }
}

fn watch(events: u32) -> Watch {
    Watch::from_bits(u16::try_from(events).unwrap_or_default())
}
