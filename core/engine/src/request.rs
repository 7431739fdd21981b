//! Requests: their heads, and why one is refused.

use std::{borrow::Cow, io::Write as _, net::SocketAddr, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

/// The head of an HTTP request, as every entry point hands it to the server.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The request's method.
    pub method: Method,
    /// The request's target, with its query.
    pub uri: Uri,
    /// The headers, names in lower case.
    pub headers: HeaderMap,
    /// The peer's address, where the transport has one.
    pub remote: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub secure: bool,
    /// Whatever the host wants to find again with the request. Empty costs nothing.
    pub extensions: Extensions,
}

/// In the extensions of a [`RequestHead`]: the host gets the answer by [`Server::handle`](crate::Server::handle), sends
/// it itself, and need not be asked for its headers.
#[derive(Debug, Clone, Copy)]
pub struct AnswerInHand;

/// In the extensions of an answer that [`Server::handle`](crate::Server::handle) gives: the id of the session that it
/// opens, if that is watched.
#[derive(Debug, Clone)]
pub struct OpenedSession(pub Arc<str>);

/// The request that opened a session, kept for as long as the session.
#[derive(Debug)]
pub struct Handshake {
    /// The request's head.
    pub head: RequestHead,
    /// When the session was opened.
    pub issued: SystemTime,
    /// Whether it came from a browser that looks for scripts in answers, and spoils what it takes for one.
    pub(crate) guards_against_scripts: bool,
}

impl Handshake {
    pub(crate) fn new(head: RequestHead) -> Self {
        let head = head.into_compact();
        let agent = head.header(header::USER_AGENT).unwrap_or_default();
        let guards_against_scripts = agent.contains(";MSIE") || agent.contains("Trident/");
        Self { head, issued: SystemTime::now(), guards_against_scripts }
    }
}

impl RequestHead {
    /// Makes a head without extensions, of a connection that is not encrypted.
    pub fn new(method: Method, uri: Uri, headers: HeaderMap, remote: Option<SocketAddr>) -> Self {
        Self { method, uri, headers, remote, secure: false, extensions: Extensions::new() }
    }

    /// The same in as little memory as it takes. A head that was read by hyper is a view of the buffer it was read into,
    /// 8 KiB that would be kept for as long as any part of it.
    fn into_compact(mut self) -> Self {
        let mut text = Vec::with_capacity(self.n_bytes());
        // Writing to memory does not fail.
        let _ = write!(text, "{}", self.uri);
        let n_target = text.len();
        self.headers.values().for_each(|value| text.extend_from_slice(value.as_bytes()));
        let mut text = Bytes::from(text);
        // These were read from the same bytes before, so that neither fails.
        if let Ok(uri) = Uri::from_maybe_shared(text.split_to(n_target)) {
            self.uri = uri;
        }
        for value in self.headers.values_mut() {
            let is_sensitive = value.is_sensitive();
            if let Ok(compact) = HeaderValue::from_maybe_shared(text.split_to(value.len())) {
                *value = compact;
                value.set_sensitive(is_sensitive);
            }
        }
        self
    }

    /// The value of a query parameter, percent-decoded; the last one when it is repeated.
    pub fn query(&self, name: &str) -> Option<String> {
        let values = parse_query(self.uri.query().unwrap_or_default()).filter(|(key, _)| key == name);
        values.last().map(|(_, value)| value.into_owned())
    }

    /// The query's parameters in order, percent-decoded.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let pairs = parse_query(self.uri.query().unwrap_or_default());
        pairs.map(|(key, value)| (key.into_owned(), value.into_owned()))
    }

    /// Bytes that it takes to keep it, nearly.
    pub fn n_bytes(&self) -> usize {
        let target = self.uri.path().len() + self.uri.query().map_or(0, str::len);
        target + self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    }

    /// A header's value, where it is readable text.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The pairs of a query or a form, in order, percent-decoded; borrowed where there was nothing to decode.
pub fn parse_query(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

/// Decodes one name or value of a query, `+` standing for a space; bytes that are no UTF-8 are replaced.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// Why a request is refused: always the client's doing, but for the limits an operator has set.
///
/// Codes and messages are those of
/// [the official server](https://socket.io/docs/v4/server-troubleshooting-connection-issues/).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    code: u8,
    message: Cow<'static, str>,
    /// What the official server tells the application besides.
    context: Vec<(&'static str, String)>,
    /// Whether the layer is not told of it.
    is_known: bool,
    /// Whether the message is JSON text that is the whole answer.
    is_whole: bool,
}

impl Refusal {
    pub(crate) const UNKNOWN_TRANSPORT: Self = Self::new(0, "Transport unknown");
    pub(crate) const UNKNOWN_SID: Self = Self::new(1, "Session ID unknown");
    pub(crate) const BAD_HANDSHAKE_METHOD: Self = Self::new(2, "Bad handshake method");
    pub(crate) const BAD_REQUEST: Self = Self::new(3, "Bad request");
    pub(crate) const ORIGIN_NOT_ALLOWED: Self = Self::new(3, "Origin not allowed");
    pub(crate) const TOO_MANY_CONNECTIONS: Self = Self::unavailable("Too many connections");
    pub(crate) const SHUTTING_DOWN: Self = Self::unavailable("Server is shutting down");
    pub(crate) const UNSUPPORTED_PROTOCOL: Self = Self::new(5, "Unsupported protocol version");

    const fn new(code: u8, message: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: Cow::Borrowed(message),
            context: Vec::new(),
            is_known: false,
            is_whole: false,
        }
    }

    /// The application does not want the client: status 403, code 4. Without a message it is `Forbidden`.
    pub fn forbidden(message: String) -> Self {
        let context = vec![("message", message.clone())];
        let message = if message.is_empty() { "Forbidden".into() } else { message.into() };
        Self { status: StatusCode::FORBIDDEN, code: 4, message, context, is_known: false, is_whole: false }
    }

    /// The application does not want the client: status 401, code 4, and JSON text as the whole answer.
    pub fn unauthorized(json: String) -> Self {
        let message = Cow::Owned(json);
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: 4,
            message,
            context: Vec::new(),
            is_known: false,
            is_whole: true,
        }
    }

    /// The server cannot serve the client at the moment: status 503.
    pub const fn unavailable(message: &'static str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: 3,
            message: Cow::Borrowed(message),
            context: Vec::new(),
            is_known: false,
            is_whole: false,
        }
    }

    /// The request cannot be served as it is: status 400, code 3. `name` says why, in the application's terms.
    pub fn bad_request(name: &'static str) -> Self {
        Self::BAD_REQUEST.with("name", name)
    }

    /// The same, of which [`Layer::refused`](crate::Layer::refused) is not told: it was the layer's own decision, and it has
    /// dealt with it.
    #[must_use]
    pub fn known(mut self) -> Self {
        self.is_known = true;
        self
    }

    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The layer has given the session an id that another has.
    pub(crate) fn id_in_use() -> Self {
        Self::bad_request("ID_GENERATION_ERROR")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.context.push((name, value.into()));
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The number that the client is told.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The text that the client is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the application may want to know besides, by name.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.context
    }

    /// The answer to a plain request.
    pub(crate) fn response(&self) -> Response<Bytes> {
        if self.is_whole {
            return Self::answer_with(self.status, self.message.clone().into_owned(), "application/json");
        }
        let message = serde_json::Value::from(&*self.message);
        let body = format!(r#"{{"code":{},"message":{message}}}"#, self.code);
        Self::answer_with(self.status, body, "application/json")
    }

    /// The answer to a WebSocket request, which in engine.io is the bare message, whatever was wrong with status 400.
    pub(crate) fn websocket_response(&self) -> Response<Bytes> {
        let mut response = if self.is_whole {
            self.response()
        } else {
            Self::answer_with(StatusCode::BAD_REQUEST, self.message.clone().into_owned(), "text/html")
        };
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    fn answer_with(status: StatusCode, body: String, content_type: &'static str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head as hyper makes it: its parts are views of one buffer.
    fn head(target: &'static str, fields: &[(&'static str, &'static str)]) -> RequestHead {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("it is a value"));
        }
        RequestHead::new(Method::GET, Uri::from_static(target), headers, None)
    }

    #[test]
    fn a_compact_head_says_the_same() {
        let fields =
            [("host", "here"), ("cookie", "a=1"), ("x-empty", ""), ("cookie", "b=2"), ("x-own", "\u{e9}")];
        for target in ["/socket.io/?EIO=4&transport=websocket", "/", "*", "http://here:80/?x", "/%20?"] {
            let given = head(target, &fields);
            let compact = given.clone().into_compact();
            assert_eq!((&compact.uri, &compact.headers), (&given.uri, &given.headers), "{target}");
            assert_eq!(compact.uri.to_string(), target);
            let order = |head: &RequestHead| {
                head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
            };
            assert_eq!(order(&compact), order(&given));
        }
    }

    #[test]
    fn a_compact_head_keeps_nothing_of_the_buffer_it_was_read_into() {
        let buffer = Bytes::from(b"/?EIO=4 value".repeat(700));
        let mut given = head("/", &[]);
        given.uri = Uri::from_maybe_shared(buffer.slice(..7)).expect("it is a target");
        given.headers.insert("x-a", HeaderValue::from_maybe_shared(buffer.slice(8..13)).expect("it is text"));
        let compact = given.into_compact();
        assert_eq!((compact.uri.to_string().as_str(), compact.header("x-a")), ("/?EIO=4", Some("value")));
        assert!(buffer.is_unique(), "something still refers to it");
    }
}
