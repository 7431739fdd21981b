//! HTTP long-polling: a GET waits for packets, a POST brings some.
//!
//! See [the protocol](https://socket.io/docs/v4/engine-io-protocol/#http-long-polling).

use std::{borrow::Cow, fmt::Write as _, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Instant};

use bytes::{Bytes, BytesMut};
use ferrio_protocol::engine::{PacketType, Protocol, TransportKind, payload};
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::oneshot;

use crate::{
    layer::Layer,
    request::{Refusal, RequestHead, parse_query},
    server::Shared,
    session::{
        Session,
        poll::{PendingPoll, PollAnswer},
    },
    transport::compression::compress,
};

/// How many turns of the executor a client's close packet leaves to what has come before it: a connection is accepted in
/// one, its request read in another.
const TURNS_BEFORE_CLOSE: usize = 4;

/// The form in which a client wants the answer to a poll. It is all that a poll keeps of its request while it waits.
pub(crate) struct PollForm {
    /// Whether the client takes a binary body. Only in the older protocol.
    supports_binary: bool,
    /// The number of the function that a JSONP client has defined.
    jsonp: Option<String>,
    accept_encoding: Option<HeaderValue>,
    /// Whether it is a browser that looks for scripts in answers, and finds some.
    guards_against_scripts: bool,
}

impl PollForm {
    pub(crate) fn new(head: &RequestHead, is_base64_wanted: bool, jsonp: Option<Cow<'_, str>>) -> Self {
        Self {
            supports_binary: !is_base64_wanted && jsonp.is_none(),
            jsonp: jsonp.map(Cow::into_owned),
            accept_encoding: head.headers.get(header::ACCEPT_ENCODING).cloned(),
            guards_against_scripts: false,
        }
    }

    /// What the first request says counts for all answers: what browser it comes from, the number of a JSONP client, and
    /// that it takes no bytes.
    pub(crate) fn follow_handshake<L: Layer>(&mut self, session: &Session<L>) {
        self.guards_against_scripts = session.handshake().guards_against_scripts;
        let first = &session.handshake().head;
        if self.jsonp.is_some()
            && let Some(number) = first.query("j")
        {
            self.jsonp = Some(number);
        }
        if session.protocol() == Protocol::V3 && self.supports_binary {
            self.supports_binary = first.query("b64").is_none();
        }
    }
}

/// Serves a GET of a session. Dropped while it waits, the client has gone and the session ends.
pub(crate) async fn get<L: Layer>(session: &Arc<Session<L>>, form: &PollForm) -> Response<Bytes> {
    let shared = session.server();
    let (sender, answer) = oneshot::channel();
    if session.poll(PendingPoll { sender, supports_binary: form.supports_binary }).is_err() {
        // It may have ended just now.
        return match shared.answer_ended(session.id(), form.supports_binary) {
            Some(answer) => answer_response(shared, form, answer).await,
            None => Refusal::BAD_REQUEST.response(),
        };
    }
    let waiting = Waiting::begin(session);
    let answer = answer.await;
    waiting.end();
    match answer {
        Ok(answer) => answer_response(shared, form, answer).await,
        // The session ended without a last packet: its transport was lost.
        Err(_) => Refusal::BAD_REQUEST.response(),
    }
}

/// Serves a request for a session that has ended and has something left to tell.
pub(crate) async fn ended<L: Layer>(
    shared: &Shared<L>,
    id: &str,
    method: &Method,
    form: &PollForm,
) -> Option<Response<Bytes>> {
    match *method {
        Method::GET => {
            let answer = shared.answer_ended(id, form.supports_binary)?;
            Some(answer_response(shared, form, answer).await)
        }
        // What it brings is for nobody.
        Method::POST => Some(plain(StatusCode::OK, "ok")),
        _ => None,
    }
}

/// Notices that a GET is dropped before it is answered, because its client has gone: the session ends.
pub(crate) struct Waiting<L: Layer> {
    session: Option<Arc<Session<L>>>,
}

impl<L: Layer> Waiting<L> {
    pub(crate) fn begin(session: &Arc<Session<L>>) -> Self {
        Self { session: Some(session.clone()) }
    }

    pub(crate) fn end(mut self) {
        self.session = None;
    }
}

impl<L: Layer> Drop for Waiting<L> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.transport_failed(TransportKind::Polling, "poll connection closed prematurely");
        }
    }
}

const TEXT: &str = "text/plain; charset=UTF-8";
const SCRIPT: &str = "text/javascript; charset=UTF-8";

/// Makes the response to a poll, JSONP and compression included.
async fn answer_response<L: Layer>(
    shared: &Shared<L>,
    form: &PollForm,
    answer: PollAnswer,
) -> Response<Bytes> {
    let (body, content_type) = match &form.jsonp {
        Some(index) => {
            (as_script(index, &answer.body), if shared.config.answers_like_engine_io { TEXT } else { SCRIPT })
        }
        None if answer.is_binary => (Bytes::from(answer.body), "application/octet-stream"),
        None => (Bytes::from(answer.body), TEXT),
    };
    let threshold = shared.current().http_compression.filter(|_| answer.compress);
    let (body, encoding) = {
        let always = shared.config.answers_like_engine_io;
        compress(form.accept_encoding.as_ref(), threshold, always, body).await
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if form.guards_against_scripts {
        headers.insert(header::X_XSS_PROTECTION, HeaderValue::from_static("0"));
    }
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

/// A call of the function that a JSONP client has defined, with the payload as its string argument.
fn as_script(index: &str, body: &[u8]) -> Bytes {
    let digits: String = index.chars().filter(char::is_ascii_digit).collect();
    let text = String::from_utf8_lossy(body);
    let mut script = format!("___eio[{digits}](");
    // A JSON string is a JavaScript string but for two line separators.
    for character in serde_json::Value::from(text).to_string().chars() {
        match character {
            '\u{2028}' | '\u{2029}' => _ = write!(script, "\\u{:04x}", u32::from(character)),
            _ => script.push(character),
        }
    }
    script.push_str(");");
    Bytes::from(script)
}

/// Serves a POST of a session.
pub(crate) async fn post<L: Layer, B>(
    session: &Arc<Session<L>>,
    head: &RequestHead,
    form: &PollForm,
    body: B,
) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let is_binary = head.header(header::CONTENT_TYPE) == Some("application/octet-stream");
    if is_binary && session.protocol() == Protocol::V4 {
        return refused(session, "invalid content");
    }
    let Some(posting) = Posting::begin(session) else {
        return refused(session, "data request overlap from client");
    };
    let max = session.server().current().max_http_buffer_size;
    let Some(body) = before_end(session, collect(body, max)).await else {
        return Refusal::BAD_REQUEST.response();
    };
    let body = match body {
        Ok(body) => body,
        Err(CollectError::TooLarge) => {
            posting.end();
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "");
        }
        // The client went away in the middle of its request.
        Err(CollectError::Lost) => return Refusal::BAD_REQUEST.response(),
    };
    let body = if form.jsonp.is_some() { from_form(&body) } else { body };
    session.server().counters.bytes_in.add(body.len());
    let is_understood = take_packets(session, &body, is_binary).await;
    posting.end();
    if is_understood { plain(StatusCode::OK, "ok") } else { Refusal::BAD_REQUEST.response() }
}

/// Packets of one body that are taken in a row, before other tasks of the thread get their turn.
const PACKETS_IN_A_ROW: usize = 256;

/// Takes the packets of a body, each message when there is room for it: the client's next POST waits for the answer to
/// this one. What follows the end of the session, or of its polling, is not looked at. Returns whether all of it was
/// well-formed.
async fn take_packets<L: Layer>(session: &Arc<Session<L>>, body: &Bytes, is_binary: bool) -> bool {
    for (idx, packet) in payload::decode(session.protocol(), body, is_binary).enumerate() {
        if idx > 0 && idx % PACKETS_IN_A_ROW == 0 {
            tokio::task::yield_now().await;
        }
        if !session.is_polling() {
            return true;
        }
        if let Ok(packet) = &packet
            && packet.kind == PacketType::Close
        {
            let_poll_go_first(session).await;
        }
        let _turn = match packet.as_ref().ok().and_then(|packet| session.backpressure(packet)) {
            Some(wait) => Some(session.wait(wait).await),
            None => None,
        };
        let is_understood = packet.is_ok();
        session.receive_packet(TransportKind::Polling, packet, Instant::now());
        if !is_understood {
            return false;
        }
    }
    true
}

/// What `reading` a body comes to, unless the session ends before: a body that trickles in must not outlive it.
async fn before_end<L: Layer, T>(session: &Session<L>, reading: impl Future<Output = T>) -> Option<T> {
    let mut reading = pin!(reading);
    poll_fn(|context| match reading.as_mut().poll(context) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending => session.poll_ended(context).map(|()| None),
    })
    .await
}

/// Lets a poll be taken in that came before the client's close packet, on another TCP session: it is to be answered and
/// not refused.
async fn let_poll_go_first<L: Layer>(session: &Session<L>) {
    for _ in 0..TURNS_BEFORE_CLOSE {
        if session.has_poll() || !session.is_open() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Ends a session whose client broke the rules of polling.
fn refused<L: Layer>(session: &Arc<Session<L>>, fault: &'static str) -> Response<Bytes> {
    session.server().counters.peer_errors.add(1);
    session.transport_failed(TransportKind::Polling, fault);
    Refusal::BAD_REQUEST.response()
}

/// The right to bring packets: a client sends one POST at a time, or their order would be lost. Dropped before its
/// [`end`](Self::end), the client has gone in the middle of it, and the session is over.
struct Posting<'a, L: Layer> {
    session: &'a Arc<Session<L>>,
    has_ended: bool,
}

impl<'a, L: Layer> Posting<'a, L> {
    fn begin(session: &'a Arc<Session<L>>) -> Option<Self> {
        session.begin_post().then(|| Self { session, has_ended: false })
    }

    fn end(mut self) {
        self.has_ended = true;
    }
}

impl<L: Layer> Drop for Posting<'_, L> {
    fn drop(&mut self) {
        self.session.end_post();
        if !self.has_ended {
            let fault = "data request connection closed prematurely";
            self.session.transport_failed(TransportKind::Polling, fault);
        }
    }
}

enum CollectError {
    TooLarge,
    Lost,
}

/// Reads a body of at most `max` bytes.
async fn collect<B>(body: B, max: usize) -> Result<Bytes, CollectError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > max as u64 {
        return Err(CollectError::TooLarge);
    }
    let mut body = pin!(Limited::new(body, max));
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.as_mut().frame().await {
        let frame = frame.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => CollectError::TooLarge,
            None => CollectError::Lost,
        })?;
        let Ok(data) = frame.into_data() else { continue };
        // Nearly every body comes in one piece, which need not be copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// The payload in a JSONP client's form, whose line breaks are escaped because browsers change those of a form.
fn from_form(body: &[u8]) -> Bytes {
    let form = String::from_utf8_lossy(body);
    let data = parse_query(&form).find(|(name, _)| name == "d").map_or(Cow::Borrowed(""), |pair| pair.1);
    let mut payload = String::with_capacity(data.len());
    let mut rest = &*data;
    while let Some(idx) = rest.find("\\n") {
        let n_slashes_before = rest[..idx].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if n_slashes_before == 0 {
            payload.push_str(&rest[..idx]);
            payload.push('\n');
        } else {
            // An escaped backslash before an `n` is one backslash and the letter.
            payload.push_str(&rest[..idx - 1]);
            payload.push_str("\\n");
        }
        rest = &rest[idx + 2..];
    }
    payload.push_str(rest);
    Bytes::from(payload)
}

/// The answer to a method that means nothing, which is engine.io's.
pub(crate) fn unknown_method() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}
