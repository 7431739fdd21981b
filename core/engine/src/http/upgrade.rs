//! WebSocket requests: their checks, and the answer that completes the handshake.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use ferrio_protocol::engine::{Protocol, TransportKind, UpgradeRefused};
use http::{HeaderValue, Method, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    deflate::Agreed,
    http::{
        serve,
        verify::{Purpose, Query, mismatch, verify},
    },
    layer::{Admitted, Layer},
    request::{Handshake, Refusal, RequestHead},
    server::{Server, Shared},
    session::Session,
    transport::{stream::Stream, websocket},
};

/// A WebSocket whose handshake may be completed.
pub(super) struct Ticket<L: Layer> {
    place: Place<L>,
    head: RequestHead,
    /// What completes the handshake.
    response: Response<Bytes>,
    /// How messages are compressed, if the response says that they are.
    deflate: Option<Agreed>,
}

/// The session a WebSocket came for.
pub(super) enum Assigned<L: Layer> {
    /// It carries the session, or probes whether it can.
    Own(Arc<Session<L>>),
    /// Another WebSocket does.
    Taken(Arc<Session<L>>),
}

enum Place<L: Layer> {
    Open {
        shared: Arc<Shared<L>>,
        protocol: Protocol,
        admitted: Admitted,
    },
    Upgrade(Arc<Session<L>>),
    /// Another WebSocket is there. As in engine.io, this one is accepted and then closed.
    TurnAway(Arc<Session<L>>),
}

/// Checks a WebSocket request, and answers it with an error or a ticket.
pub(super) async fn upgrade<L: Layer>(
    server: &Server<L>,
    mut head: RequestHead,
) -> Result<Ticket<L>, Response<Bytes>> {
    let shared = server.shared();
    match check(shared, &mut head).await {
        Ok((place, response, deflate)) => Ok(Ticket { place, head, response, deflate }),
        Err(refusal) => {
            serve::refused(shared, &head, &refusal);
            Err(refusal.websocket_response())
        }
    }
}

async fn check<L: Layer>(
    shared: &Arc<Shared<L>>,
    head: &mut RequestHead,
) -> Result<(Place<L>, Response<Bytes>, Option<Agreed>), Refusal> {
    let accept = accept_key(head)?;
    let (deflate, extensions) = negotiate(shared, head)?.unzip();
    let options = shared.current();
    if let Some(cors) = options.cors.as_ref().filter(|cors| cors.enforce) {
        let decision = serve::ask_origin(shared, cors, head).await?;
        if !cors.allows(head, decision.as_ref()) {
            return Err(Refusal::ORIGIN_NOT_ALLOWED);
        }
    }
    let place = match verify(shared, &head.method, &Query::of(head), TransportKind::WebSocket)? {
        Purpose::Ended(_) => return Err(Refusal::BAD_REQUEST),
        Purpose::Handshake(protocol) => {
            let admitted = serve::admit(shared, head).await?;
            Place::Open { shared: shared.clone(), protocol, admitted }
        }
        Purpose::Session(session) => place_beside(shared, session)?,
    };
    let mut response = switching(&accept, first_subprotocol(head));
    if let Some(extensions) = extensions {
        response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    if shared.asks_for_headers() {
        let is_first = matches!(place, Place::Open { .. });
        shared.layer.headers(head, is_first, response.headers_mut()).await;
    }
    Ok((place, response, deflate))
}

/// Agrees on the compression of messages, if both sides want it.
fn negotiate<L: Layer>(
    shared: &Shared<L>,
    head: &RequestHead,
) -> Result<Option<(Agreed, HeaderValue)>, Refusal> {
    let Some(terms) = &shared.deflate else { return Ok(None) };
    let lines = head.headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).into_iter().map(HeaderValue::as_bytes);
    let agreed = terms.negotiate(lines).map_err(|_| Refusal::BAD_REQUEST)?;
    Ok(agreed.and_then(|(agreed, header)| Some((agreed, HeaderValue::try_from(header).ok()?))))
}

/// The response that completes a handshake. `subprotocol` is the first that the client offers: it fails when none is chosen.
fn switching(accept: &str, subprotocol: Option<HeaderValue>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

/// The place of a WebSocket that came for a session which is open.
fn place_beside<L: Layer>(shared: &Shared<L>, session: Arc<Session<L>>) -> Result<Place<L>, Refusal> {
    shared.counters.upgrades_tried.add(1);
    let requested = session.input(|machine| machine.upgrade_requested(Instant::now()));
    if requested.is_err() {
        shared.counters.upgrades_failed.add(1);
    }
    match requested {
        Ok(()) => Ok(Place::Upgrade(session)),
        Err(UpgradeRefused::AlreadyUpgrading | UpgradeRefused::AlreadyUpgraded) => {
            Ok(Place::TurnAway(session))
        }
        Err(UpgradeRefused::NotAllowed | UpgradeRefused::Closed) => {
            Err(mismatch(TransportKind::WebSocket, session.transport()))
        }
    }
}

/// The key that accepts a WebSocket request, when it is one.
/// See [RFC 6455, section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1).
fn accept_key(head: &RequestHead) -> Result<String, Refusal> {
    let is = |name, token: &str| tokens(head, name).any(|value| value.eq_ignore_ascii_case(token));
    let key = head.headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    // Sixteen bytes in base64.
    let has_key = key.len() == 24 && key.ends_with(b"==");
    if head.method != Method::GET
        || !is(header::UPGRADE, "websocket")
        || !is(header::CONNECTION, "upgrade")
        || !is(header::SEC_WEBSOCKET_VERSION, "13")
        || !has_key
    {
        return Err(Refusal::BAD_REQUEST);
    }
    Ok(derive_accept_key(key))
}

/// The values of a header that is a list, on however many lines.
fn tokens(head: &RequestHead, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = head.headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn first_subprotocol(head: &RequestHead) -> Option<HeaderValue> {
    let first = tokens(head, header::SEC_WEBSOCKET_PROTOCOL).find(|token| !token.is_empty())?;
    HeaderValue::from_str(first).ok()
}

impl<L: Layer> Ticket<L> {
    /// Takes the response that completes the handshake.
    pub(super) fn take_response(&mut self) -> Response<Bytes> {
        std::mem::take(&mut self.response)
    }

    /// Serves the WebSocket from here on. The response has been sent; `read_already` came behind the request.
    pub(super) fn start(mut self, stream: Stream, read_already: &Bytes) {
        let deflate = self.deflate.take();
        match self.place() {
            Ok(Assigned::Own(session)) => websocket::start(session, stream, read_already, deflate),
            Ok(Assigned::Taken(_)) => websocket::turn_away(stream),
            // The stream is dropped: the handshake was answered already.
            Err(_) => {}
        }
    }

    /// Where the WebSocket belongs, made now if it opens a session; it is refused when others have taken the last place,
    /// or its id, since its request was checked.
    pub(super) fn place(self) -> Result<Assigned<L>, Refusal> {
        match self.place {
            Place::Upgrade(session) => Ok(Assigned::Own(session)),
            Place::TurnAway(session) => Ok(Assigned::Taken(session)),
            Place::Open { shared, protocol, mut admitted } => {
                let mut head = self.head;
                head.extensions.extend(std::mem::take(&mut admitted.extensions));
                let handshake = Arc::new(Handshake::new(head));
                let opened =
                    shared.open_session(handshake.clone(), protocol, TransportKind::WebSocket, admitted);
                opened.map(Assigned::Own).inspect_err(|refusal| {
                    serve::refused(&shared, &handshake.head, refusal);
                })
            }
        }
    }
}
