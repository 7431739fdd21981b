//! Plain requests of the engine's path: handshakes, long-polling, preflights, and mistakes.
//!
//! Every entry point calls [`Server::handle`] for plain requests and [`upgrade`](super::upgrade::upgrade) for WebSockets, so
//! that no check depends on the way in.

use std::{borrow::Cow, fmt::Write as _, pin::Pin, sync::Arc};

use bytes::Bytes;
use ferrio_protocol::engine::{Protocol, TransportKind};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;

use crate::{
    cors::{Cors, OriginDecision},
    http::verify::{Purpose, Query, mismatch, verify},
    layer::{Admitted, Layer},
    request::{AnswerInHand, Handshake, OpenedSession, Refusal, RequestHead},
    server::{Server, Shared},
    session::Session,
    transport::polling::{self, PollForm, Waiting},
};

impl<L: Layer> Server<L> {
    /// Serves a plain HTTP request of the engine's path.
    ///
    /// The path is not looked at: the host has routed the request here. A poll is answered when something is there to
    /// send; dropping the future then means that its client has gone, and ends the session.
    pub async fn handle<B>(&self, mut head: RequestHead, body: B) -> Response<Bytes>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let shared = self.shared();
        let options = shared.current();
        let Some(cors) = &options.cors else { return route(shared, head, body).await };
        let decision = match ask_origin(shared, cors, &mut head).await {
            Ok(decision) => decision,
            Err(refusal) => return refuse(shared, &head, &refusal),
        };
        let is_allowed = cors.allows(&head, decision.as_ref());
        if let Some(response) = cors.preflight(&head, decision.as_ref()).filter(|_| is_allowed) {
            return response;
        }
        let mut headers = HeaderMap::new();
        cors.apply(&head, decision.as_ref(), &mut headers);
        let mut response = if is_allowed {
            route(shared, head, body).await
        } else {
            refuse(shared, &head, &Refusal::ORIGIN_NOT_ALLOWED)
        };
        for (name, value) in &headers {
            // `Vary` may have values of both.
            response.headers_mut().append(name, value.clone());
        }
        response
    }
}

/// Asks the layer about a request's origin, where it wants to be asked: once for a session. So no heartbeat of
/// long-polling waits for a host that is busy.
pub(super) async fn ask_origin<L: Layer>(
    shared: &Shared<L>,
    cors: &Cors,
    head: &mut RequestHead,
) -> Result<Option<OriginDecision>, Refusal> {
    if !cors.needs_host() {
        return Ok(None);
    }
    if let Some(decision) = decided_before(shared, head) {
        return Ok(Some(decision));
    }
    let decision = shared.layer.origin(head).await?;
    // Kept with the session, if the request opens one.
    head.extensions.insert(Decided(decision.clone()));
    Ok(Some(decision))
}

/// What the layer has decided about the origin of a session's first request.
#[derive(Debug, Clone)]
struct Decided(OriginDecision);

/// What the layer has decided about the session of this request, if that came from the same origin.
fn decided_before<L: Layer>(shared: &Shared<L>, head: &RequestHead) -> Option<OriginDecision> {
    let session = shared.find_session(&Query::of(head).sid?)?;
    let first = &session.handshake().head;
    let is_same = first.headers.get(header::ORIGIN) == head.headers.get(header::ORIGIN);
    first.extensions.get::<Decided>().filter(|_| is_same).map(|decided| decided.0.clone())
}

async fn route<L: Layer, B>(shared: &Arc<Shared<L>>, head: RequestHead, body: B) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let query = Query::of(&head);
    let verified = verify(shared, &head.method, &query, TransportKind::Polling);
    let mut form = PollForm::new(&head, query.is_base64_wanted, query.jsonp);
    let session = match verified {
        Ok(Purpose::Session(session)) => session,
        Ok(Purpose::Ended(id)) => {
            let answered = polling::ended(shared, &id, &head.method, &form).await;
            return answered.unwrap_or_else(|| refuse(shared, &head, &Refusal::BAD_REQUEST));
        }
        Ok(Purpose::Handshake(protocol)) => return open(shared, head, &mut form, protocol).await,
        Err(refusal) => return refuse(shared, &head, &refusal),
    };
    if session.transport() != TransportKind::Polling {
        return refuse(shared, &head, &mismatch(TransportKind::Polling, session.transport()));
    }
    form.follow_handshake(&session);
    // A poll may wait long, and keeps its head only where the layer wants to see it.
    let kept = asks_for_headers(shared, &head).then(|| Box::new(head.clone()));
    let mut response = match head.method {
        Method::GET => {
            drop(head);
            polling::get(&session, &form).await
        }
        Method::POST => polling::post(&session, &head, &form, body).await,
        _ if shared.config.answers_like_engine_io => return polling::unknown_method(),
        _ => return refuse(shared, &head, &Refusal::BAD_REQUEST),
    };
    if let Some(head) = kept.filter(|_| response.status() == StatusCode::OK) {
        add_headers(&session, &head, false, &mut response).await;
    }
    response
}

/// Turns a request away.
fn refuse<L: Layer>(shared: &Shared<L>, head: &RequestHead, refusal: &Refusal) -> Response<Bytes> {
    refused(shared, head, refusal);
    refusal.response()
}

/// Counts a refusal, and tells the layer.
pub(super) fn refused<L: Layer>(shared: &Shared<L>, head: &RequestHead, refusal: &Refusal) {
    shared.counters.requests_refused.add(1);
    tracing::debug!(code = refusal.code(), message = refusal.message(), "request refused");
    if !refusal.is_known() {
        shared.layer.refused(head, refusal);
    }
}

/// Whether the layer is asked which headers the answer has.
fn asks_for_headers<L: Layer>(shared: &Shared<L>, head: &RequestHead) -> bool {
    shared.asks_for_headers() && head.extensions.get::<AnswerInHand>().is_none()
}

/// Has the layer add headers to an answer. In a box, because few layers want to, and the future of every request would be
/// as large.
fn add_headers<'a, L: Layer>(
    session: &'a Arc<Session<L>>,
    head: &'a RequestHead,
    is_first: bool,
    response: &'a mut Response<Bytes>,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        // What a poll is answered with is lost if its client goes now. A POST has been taken.
        let waiting = (head.method == Method::GET).then(|| Waiting::begin(session));
        session.layer().headers(head, is_first, response.headers_mut()).await;
        if let Some(waiting) = waiting {
            waiting.end();
        }
    })
}

/// What has to be true for any new session.
pub(super) async fn admit<L: Layer>(shared: &Shared<L>, head: &RequestHead) -> Result<Admitted, Refusal> {
    if shared.is_draining() {
        return Err(Refusal::SHUTTING_DOWN);
    }
    if shared.n_sessions() >= shared.config.limits.max_connections {
        return Err(Refusal::TOO_MANY_CONNECTIONS);
    }
    let admitted = shared.layer.admit(head).await?;
    // Both are looked at once more when the session opens. A WebSocket can be refused only now: then it has been accepted.
    if shared.is_draining() {
        return Err(Refusal::SHUTTING_DOWN);
    }
    if admitted.id.as_ref().is_some_and(|id| shared.is_in_use(id)) {
        return Err(Refusal::id_in_use());
    }
    Ok(admitted)
}

/// An id as the value of a cookie, escaped as by `encodeURIComponent`: a layer may give ids with any characters.
fn cookie_value(id: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
    if id.bytes().all(is_plain) {
        return Cow::Borrowed(id);
    }
    let mut escaped = String::with_capacity(3 * id.len());
    for byte in id.bytes() {
        if is_plain(byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    Cow::Owned(escaped)
}

/// Opens a session with long-polling.
async fn open<L: Layer>(
    shared: &Arc<Shared<L>>,
    mut head: RequestHead,
    form: &mut PollForm,
    protocol: Protocol,
) -> Response<Bytes> {
    let mut admitted = match admit(shared, &head).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(shared, &head, &refusal),
    };
    head.extensions.extend(std::mem::take(&mut admitted.extensions));
    let handshake = Arc::new(Handshake::new(head));
    let opened = shared.open_session(handshake.clone(), protocol, TransportKind::Polling, admitted);
    let session = match opened {
        Ok(session) => session,
        Err(refusal) => return refuse(shared, &handshake.head, &refusal),
    };
    form.follow_handshake(&session);
    // The open packet is in the outbox, so this poll is answered at once.
    let mut response = polling::get(&session, form).await;
    if session.is_watched() {
        response.extensions_mut().insert(OpenedSession(session.id().clone()));
    }
    if let Some(cookie) = &shared.current().cookie {
        let text = format!("{}={}; {}", cookie.name, cookie_value(session.id()), cookie.attributes);
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    if asks_for_headers(shared, &handshake.head) {
        add_headers(&session, &handshake.head, true, &mut response).await;
    }
    response
}
