//! What is known of a client from the request that opened its session.

use std::{borrow::Cow, net::SocketAddr, time::SystemTime};

use http::{Extensions, HeaderMap, Method, Uri};

/// The head of an HTTP request, as every door hands it to the server.
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

/// The request that opened a session, kept for as long as the session.
#[derive(Debug)]
pub struct Handshake {
    /// The request's head.
    pub head: RequestHead,
    /// When the session was opened.
    pub issued: SystemTime,
}

impl RequestHead {
    /// Makes a head without extensions, of a connection that is not encrypted.
    pub fn new(method: Method, uri: Uri, headers: HeaderMap, remote: Option<SocketAddr>) -> Self {
        Self { method, uri, headers, remote, secure: false, extensions: Extensions::new() }
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
    pub(crate) fn n_bytes(&self) -> usize {
        let target = self.uri.path().len() + self.uri.query().map_or(0, str::len);
        target + self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    }

    /// A header's value, where it is readable text.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The pairs of a query or a form, in order, percent-decoded; borrowed where there was nothing to decode.
pub(crate) fn parse_query(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
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
