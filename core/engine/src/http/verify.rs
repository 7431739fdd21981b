//! The checks of a request, in engine.io's order, and the session it belongs to.

use std::{borrow::Cow, sync::Arc};

use ferrio_protocol::engine::{Protocol, TransportKind};
use http::Method;

use crate::{
    layer::Layer,
    request::{Refusal, RequestHead, parse_query},
    server::Shared,
    session::Session,
};

/// What the engine reads in the query of a request; of a parameter that is repeated, the last.
#[derive(Default)]
pub(super) struct Query<'a> {
    transport: Option<Cow<'a, str>>,
    pub(super) sid: Option<Cow<'a, str>>,
    revision: Option<Cow<'a, str>>,
    pub(super) is_base64_wanted: bool,
    pub(super) jsonp: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    pub(super) fn of(head: &'a RequestHead) -> Self {
        let mut query = Self::default();
        for (name, value) in parse_query(head.uri.query().unwrap_or_default()) {
            match &*name {
                "transport" => query.transport = Some(value),
                "sid" => query.sid = Some(value).filter(|sid| !sid.is_empty()),
                "EIO" => query.revision = Some(value),
                "b64" => query.is_base64_wanted = true,
                "j" => query.jsonp = Some(value),
                _ => {}
            }
        }
        query
    }
}

/// What a request is for.
pub(super) enum Purpose<L: Layer> {
    /// A session that is open.
    Session(Arc<Session<L>>),
    /// The session of this id is over, and its client has not heard of that.
    Ended(Arc<str>),
    /// A new session.
    Handshake(Protocol),
}

/// Finds out what a request is for.
pub(super) fn verify<L: Layer>(
    shared: &Shared<L>,
    method: &Method,
    query: &Query<'_>,
    via: TransportKind,
) -> Result<Purpose<L>, Refusal> {
    let options = shared.current();
    let transports = options.transports;
    let named = match query.transport.as_deref() {
        Some("polling") if transports.polling => TransportKind::Polling,
        Some("websocket") if transports.websocket => TransportKind::WebSocket,
        other => return Err(Refusal::UNKNOWN_TRANSPORT.with("transport", other.unwrap_or_default())),
    };
    // engine.io takes every other value, and none at all, for the older revision.
    let protocol = if query.revision.as_deref() == Some("4") { Protocol::V4 } else { Protocol::V3 };
    if let Some(sid) = &query.sid {
        let (purpose, spoken, transport) = if let Some(session) = shared.find_session(sid) {
            let (spoken, transport) = (session.protocol(), session.transport());
            (Purpose::Session(session), spoken, transport)
        } else {
            let unknown = || Refusal::UNKNOWN_SID.with("sid", &**sid);
            let spoken = shared.ended.protocol(sid).ok_or_else(unknown)?;
            (Purpose::Ended(Arc::from(&**sid)), spoken, TransportKind::Polling)
        };
        if named != via || (via == TransportKind::Polling && transport != via) {
            return Err(mismatch(named, transport));
        }
        if spoken != protocol {
            let refusal = Refusal::bad_request("PROTOCOL_MISMATCH").with("protocol", digit(protocol));
            return Err(refusal.with("previousProtocol", digit(spoken)));
        }
        return Ok(purpose);
    }
    if *method != Method::GET {
        return Err(Refusal::BAD_HANDSHAKE_METHOD.with("method", method.as_str()));
    }
    if named != via {
        return Err(Refusal::bad_request("TRANSPORT_HANDSHAKE_ERROR"));
    }
    if protocol == Protocol::V3 && !options.allow_eio3 {
        return Err(Refusal::UNSUPPORTED_PROTOCOL.with("protocol", "3"));
    }
    Ok(Purpose::Handshake(protocol))
}

const fn digit(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::V3 => "3",
        Protocol::V4 => "4",
    }
}

/// A request that names another transport than its session has.
pub(super) fn mismatch(named: TransportKind, previous: TransportKind) -> Refusal {
    Refusal::bad_request("TRANSPORT_MISMATCH")
        .with("transport", named.as_str())
        .with("previousTransport", previous.as_str())
}
