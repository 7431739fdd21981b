//! Requests of the engine's path: checks, handshakes, and which session they belong to.
//!
//! Every door calls [`Server::handle`] for plain requests and [`upgrade`] for WebSockets, so that no check depends on
//! the door. Codes and messages are those of
//! [the protocol](https://socket.io/docs/v4/server-troubleshooting-connection-issues/).

use std::{borrow::Cow, sync::Arc, time::Instant};

use bytes::Bytes;
use ferrio_protocol::engine::{Protocol, TransportKind, UpgradeRefused};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    backpressure::Pass,
    connection::Connection,
    cors::{Cors, OriginDecision},
    handshake::{self, RequestHead},
    polling::{self, PollForm},
    queue::{Answer, HostEvent},
    server::{Server, Shared},
    websocket::{self, Stream},
};

/// Why a request was turned away: always the client's doing, but for the limits an operator has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestError {
    status: StatusCode,
    code: u8,
    message: Cow<'static, str>,
}

impl RequestError {
    const UNKNOWN_TRANSPORT: Self = Self::new(0, "Transport unknown");
    pub(crate) const UNKNOWN_SID: Self = Self::new(1, "Session ID unknown");
    const BAD_HANDSHAKE_METHOD: Self = Self::new(2, "Bad handshake method");
    pub(crate) const BAD_REQUEST: Self = Self::new(3, "Bad request");
    const ORIGIN_NOT_ALLOWED: Self = Self::new(3, "Origin not allowed");
    const UNSUPPORTED_PROTOCOL: Self = Self::new(5, "Unsupported protocol version");
    const SHUTTING_DOWN: Self = Self::unavailable("Server is shutting down");
    const TOO_MANY_CONNECTIONS: Self = Self::unavailable("Too many connections");
    const TOO_MANY_REQUESTS: Self = Self::unavailable("Too many requests");
    const BUSY: Self = Self::unavailable("Server is busy");

    const fn new(code: u8, message: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: Cow::Borrowed(message) }
    }

    fn forbidden(message: String) -> Self {
        let message = if message.is_empty() { "Forbidden".into() } else { message.into() };
        Self { status: StatusCode::FORBIDDEN, code: 4, message }
    }

    const fn unavailable(message: &'static str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: 3, message: Cow::Borrowed(message) }
    }
}

/// The answer to a plain request.
pub(crate) fn error_response(error: &RequestError) -> Response<Bytes> {
    let message = serde_json::Value::from(&*error.message);
    let mut response =
        Response::new(Bytes::from(format!(r#"{{"code":{},"message":{message}}}"#, error.code)));
    *response.status_mut() = error.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to a WebSocket request, which in engine.io is the bare message.
fn upgrade_error(error: &RequestError) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(error.message.clone().into_owned()));
    // Whatever was wrong, engine.io answers 400 here.
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Server {
    /// Serves a plain HTTP request of the engine's path: long-polling, preflights, and mistakes.
    ///
    /// The path is not looked at: the host has routed the request here. A poll is answered when something is there to
    /// send; dropping the future then means that its client has gone, and ends the session.
    pub async fn handle<B>(&self, mut head: RequestHead, body: B) -> Response<Bytes>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let shared = self.shared();
        let Some(cors) = &shared.config.cors else { return route(shared, head, body).await };
        let decision = match ask_origin(shared, cors, &mut head).await {
            Ok(decision) => decision,
            Err(error) => return refuse(shared, &error),
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
            shared.counters.requests_refused.add(1);
            error_response(&RequestError::ORIGIN_NOT_ALLOWED)
        };
        for (name, value) in &headers {
            // `Vary` may have values of both.
            response.headers_mut().append(name, value.clone());
        }
        response
    }
}

/// Asks the host about a request's origin, where it wants to be asked: once for a session. So no heartbeat of
/// long-polling waits for a host that is busy.
async fn ask_origin(
    shared: &Shared,
    cors: &Cors,
    head: &mut RequestHead,
) -> Result<Option<OriginDecision>, RequestError> {
    if !cors.needs_host() {
        return Ok(None);
    }
    if let Some(decision) = decided_before(shared, head) {
        return Ok(Some(decision));
    }
    let question = |answer| HostEvent::Origin { head: Arc::new(head.clone()), answer };
    let decision = ask(shared, question).await?.unwrap_or(OriginDecision::Refused);
    // Kept with the session, if the request opens one.
    head.extensions.insert(Decided(decision.clone()));
    Ok(Some(decision))
}

/// What the host has decided about the origin of a session's first request.
#[derive(Debug, Clone)]
struct Decided(OriginDecision);

/// What the host has decided about the session of this request, if that came from the same origin.
fn decided_before(shared: &Shared, head: &RequestHead) -> Option<OriginDecision> {
    let session = shared.find_connection(&Query::of(head).sid?)?;
    let first = &session.handshake().head;
    let is_same = first.headers.get(header::ORIGIN) == head.headers.get(header::ORIGIN);
    first.extensions.get::<Decided>().filter(|_| is_same).map(|decided| decided.0.clone())
}

/// Asks the host about a request, and waits for its word as long as a client has to join a namespace. `None` when it
/// says nothing.
async fn ask<T>(
    shared: &Shared,
    question: impl FnOnce(Answer<T>) -> HostEvent,
) -> Result<Option<T>, RequestError> {
    let _waiting = Waiting::begin(shared)?;
    let (answer, decision) = Answer::new();
    let turn = turn(shared).await?;
    shared.queue.push(question(answer));
    drop(turn);
    let decision = timeout(shared.config.connect_timeout, decision).await;
    Ok(decision.ok().and_then(Result::ok))
}

/// Waits until the host has caught up, in line with the messages that wait for it.
async fn turn(shared: &Shared) -> Result<Pass<'_>, RequestError> {
    let turn = timeout(shared.config.connect_timeout, shared.queue.budget.room()).await;
    turn.map_err(|_| RequestError::BUSY)
}

/// A request's place among those without a session that wait for the host.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Result<Self, RequestError> {
        let max = shared.config.limits.max_waiting_requests;
        if !shared.counters.requests_waiting.try_add_one(max) {
            return Err(RequestError::TOO_MANY_REQUESTS);
        }
        Ok(Self(shared))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.counters.requests_waiting.sub(1);
    }
}

async fn route<B>(shared: &Arc<Shared>, head: RequestHead, body: B) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let query = Query::of(&head);
    let verified = verify(shared, &head.method, &query, TransportKind::Polling);
    let form = PollForm::new(&head, query.is_base64_wanted, query.jsonp);
    let connection = match verified {
        Ok(Verified::Session(connection)) => connection,
        Ok(Verified::Ended(id)) => {
            let answered = polling::ended(shared, &id, &head.method, &form).await;
            return answered.unwrap_or_else(|| refuse(shared, &RequestError::BAD_REQUEST));
        }
        Ok(Verified::Handshake(protocol)) => {
            return match open_polling(shared, head, &form, protocol).await {
                Ok(response) => response,
                Err(error) => refuse(shared, &error),
            };
        }
        Err(error) => return refuse(shared, &error),
    };
    if connection.transport() != TransportKind::Polling {
        return refuse(shared, &RequestError::BAD_REQUEST);
    }
    match head.method {
        Method::GET => {
            // A poll may wait long, and needs no more of its head.
            drop(head);
            polling::get(&connection, &form).await
        }
        Method::POST => polling::post(&connection, &head, &form, body).await,
        _ => refuse(shared, &RequestError::BAD_REQUEST),
    }
}

fn refuse(shared: &Shared, error: &RequestError) -> Response<Bytes> {
    shared.counters.requests_refused.add(1);
    tracing::debug!(code = error.code, message = %error.message, "request refused");
    error_response(error)
}

/// What the engine reads in the query of a request; of a parameter that is repeated, the last.
#[derive(Default)]
struct Query<'a> {
    transport: Option<Cow<'a, str>>,
    sid: Option<Cow<'a, str>>,
    revision: Option<Cow<'a, str>>,
    is_base64_wanted: bool,
    jsonp: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    fn of(head: &'a RequestHead) -> Self {
        let mut query = Self::default();
        for (name, value) in handshake::parse_query(head.uri.query().unwrap_or_default()) {
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

enum Verified {
    Session(Arc<Connection>),
    /// The session of this id is over, and its client has not heard of that.
    Ended(Arc<str>),
    Handshake(Protocol),
}

/// The checks of engine.io, in its order.
fn verify(
    shared: &Shared,
    method: &Method,
    query: &Query<'_>,
    via: TransportKind,
) -> Result<Verified, RequestError> {
    let transports = shared.config.transports;
    let named = match query.transport.as_deref() {
        Some("polling") if transports.polling => TransportKind::Polling,
        Some("websocket") if transports.websocket => TransportKind::WebSocket,
        _ => return Err(RequestError::UNKNOWN_TRANSPORT),
    };
    // engine.io takes every other value, and none at all, for the older revision.
    let protocol = if query.revision.as_deref() == Some("4") { Protocol::V4 } else { Protocol::V3 };
    if let Some(sid) = &query.sid {
        let (session, spoken) = if let Some(connection) = shared.find_connection(sid) {
            let spoken = connection.protocol();
            (Verified::Session(connection), spoken)
        } else {
            let spoken = shared.farewells.protocol(sid).ok_or(RequestError::UNKNOWN_SID)?;
            (Verified::Ended(Arc::from(&**sid)), spoken)
        };
        if spoken != protocol || named != via {
            return Err(RequestError::BAD_REQUEST);
        }
        return Ok(session);
    }
    if *method != Method::GET {
        return Err(RequestError::BAD_HANDSHAKE_METHOD);
    }
    if named != via {
        return Err(RequestError::BAD_REQUEST);
    }
    if protocol == Protocol::V3 && !shared.config.allow_eio3 {
        return Err(RequestError::UNSUPPORTED_PROTOCOL);
    }
    Ok(Verified::Handshake(protocol))
}

/// What has to be true for any new session.
async fn admit(shared: &Arc<Shared>, head: &RequestHead) -> Result<(), RequestError> {
    if shared.is_draining() {
        return Err(RequestError::SHUTTING_DOWN);
    }
    if shared.n_connections() >= shared.config.limits.max_connections {
        return Err(RequestError::TOO_MANY_CONNECTIONS);
    }
    if shared.config.ask_allow_request {
        let question = |answer| HostEvent::Request { head: Arc::new(head.clone()), answer };
        let decision = ask(shared, question).await?;
        decision.unwrap_or_else(|| Err(String::new())).map_err(RequestError::forbidden)?;
    } else if !shared.queue.budget.has_room() {
        let _waiting = Waiting::begin(shared)?;
        let turn = turn(shared).await?;
        // While the host is behind, no more clients come in than it gets through.
        shared.queue.push_placeholder(head.n_bytes());
        drop(turn);
    } else if shared.queue.is_unseen() {
        shared.queue.push_placeholder(head.n_bytes());
    }
    Ok(())
}

async fn open_polling(
    shared: &Arc<Shared>,
    head: RequestHead,
    form: &PollForm,
    protocol: Protocol,
) -> Result<Response<Bytes>, RequestError> {
    admit(shared, &head).await?;
    let connection = shared
        .open_connection(head, protocol, TransportKind::Polling)
        .ok_or(RequestError::TOO_MANY_CONNECTIONS)?;
    // The open packet is in the outbox, so this poll is answered at once.
    let mut response = polling::get(&connection, form).await;
    if let Some(cookie) = &shared.config.cookie {
        let text = format!("{}={}; {}", cookie.name, connection.id(), cookie.attributes);
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    Ok(response)
}

/// A WebSocket whose handshake may be completed.
pub(crate) struct Ticket {
    purpose: Purpose,
    accept: String,
    /// The first subprotocol that the client offers: it fails when none is chosen.
    subprotocol: Option<HeaderValue>,
}

/// The connection a WebSocket came for.
pub(crate) enum Place {
    /// It carries the connection, or probes whether it can.
    Own(Arc<Connection>),
    /// Another WebSocket does.
    Taken(Arc<Connection>),
}

enum Purpose {
    Open {
        shared: Arc<Shared>,
        head: Box<RequestHead>,
        protocol: Protocol,
    },
    Upgrade(Arc<Connection>),
    /// Another WebSocket is there. As in engine.io, this one is accepted and then closed.
    TurnAway(Arc<Connection>),
}

/// The answer to a WebSocket request for which there is no place any more.
pub(crate) fn too_many() -> Response<Bytes> {
    upgrade_error(&RequestError::TOO_MANY_CONNECTIONS)
}

/// Checks a WebSocket request, and answers it with an error or a ticket.
pub(crate) async fn upgrade(server: &Server, head: RequestHead) -> Result<Ticket, Response<Bytes>> {
    let shared = server.shared();
    match ticket(shared, head).await {
        Ok(ticket) => Ok(ticket),
        Err(error) => {
            shared.counters.requests_refused.add(1);
            tracing::debug!(code = error.code, message = %error.message, "WebSocket refused");
            Err(upgrade_error(&error))
        }
    }
}

async fn ticket(shared: &Arc<Shared>, mut head: RequestHead) -> Result<Ticket, RequestError> {
    let accept = accept_key(&head)?;
    let subprotocol = first_subprotocol(&head);
    if let Some(cors) = shared.config.cors.as_ref().filter(|cors| cors.enforce) {
        let decision = ask_origin(shared, cors, &mut head).await?;
        if !cors.allows(&head, decision.as_ref()) {
            return Err(RequestError::ORIGIN_NOT_ALLOWED);
        }
    }
    let purpose = match verify(shared, &head.method, &Query::of(&head), TransportKind::WebSocket)? {
        Verified::Ended(_) => return Err(RequestError::BAD_REQUEST),
        Verified::Handshake(protocol) => {
            admit(shared, &head).await?;
            Purpose::Open { shared: shared.clone(), head: Box::new(head), protocol }
        }
        Verified::Session(connection) => {
            shared.counters.upgrades_tried.add(1);
            let requested = connection.input(|session| session.upgrade_requested(Instant::now()));
            if requested.is_err() {
                shared.counters.upgrades_failed.add(1);
            }
            match requested {
                Ok(()) => Purpose::Upgrade(connection),
                Err(UpgradeRefused::AlreadyUpgrading | UpgradeRefused::AlreadyUpgraded) => {
                    Purpose::TurnAway(connection)
                }
                Err(UpgradeRefused::NotAllowed | UpgradeRefused::Closed) => {
                    return Err(RequestError::BAD_REQUEST);
                }
            }
        }
    };
    Ok(Ticket { purpose, accept, subprotocol })
}

/// The key that accepts a WebSocket request, when it is one.
/// See [RFC 6455, section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1).
fn accept_key(head: &RequestHead) -> Result<String, RequestError> {
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
        return Err(RequestError::BAD_REQUEST);
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

impl Ticket {
    /// The response that completes the handshake.
    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = &self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
        }
        response
    }

    /// Serves the WebSocket from here on. The response has been sent; `read_already` came behind the request.
    pub(crate) fn start(self, stream: Stream, read_already: &Bytes) {
        match self.place() {
            Some(Place::Own(connection)) => websocket::start(connection, stream, read_already),
            Some(Place::Taken(_)) => websocket::turn_away(stream),
            // The stream is dropped: the handshake was answered already.
            None => {}
        }
    }

    /// Where the WebSocket belongs, made now if it opens a session; `None` when there is no room for it any more.
    pub(crate) fn place(self) -> Option<Place> {
        match self.purpose {
            Purpose::Upgrade(connection) => Some(Place::Own(connection)),
            Purpose::TurnAway(connection) => Some(Place::Taken(connection)),
            Purpose::Open { shared, head, protocol } => {
                shared.open_connection(*head, protocol, TransportKind::WebSocket).map(Place::Own)
            }
        }
    }
}
