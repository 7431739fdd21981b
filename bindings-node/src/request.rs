//! Requests from and to JavaScript.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ferrio::{Handshake, RequestHead};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use napi::Result;

use crate::{error::misuse, outgoing::KeptRequest, value::push_json};

/// Reads a request's head from the lines that `attach.ts` writes: method, target, address, port, `s` for encrypted,
/// then names and values of the headers in turn.
pub(crate) fn read_head(lines: &str) -> Result<RequestHead> {
    let mut lines = lines.split('\n');
    let mut next = || lines.next().ok_or_else(|| misuse("a request's head is too short"));
    let (method, target, address, port, secure) = (next()?, next()?, next()?, next()?, next()?);
    let method = method.parse::<Method>().map_err(|_| misuse("unknown method"))?;
    let ip = address.split('%').next().and_then(|ip| ip.parse::<IpAddr>().ok());
    let remote = ip.zip(port.parse().ok()).map(|(ip, port)| SocketAddr::new(ip, port));
    let mut headers = HeaderMap::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        let value = HeaderValue::from_bytes(&latin1(value));
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value) {
            headers.append(name, value);
        }
    }
    let mut head = RequestHead::new(method, read_target(target)?, headers, remote);
    head.secure = secure == "s";
    Ok(head)
}

/// Node accepts more characters in a target than the `http` crate: those are escaped.
fn read_target(target: &str) -> Result<Uri> {
    if let Ok(uri) = target.parse() {
        return Ok(uri);
    }
    let mut escaped = String::with_capacity(target.len() + 16);
    for byte in latin1(target) {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped.parse().map_err(|_| misuse("a request's target cannot be read"))
}

/// Node tells header bytes as characters of the same number.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect()
}

/// Appends a request's head as JSON fields, without the braces.
pub(crate) fn push_head(out: &mut String, head: &RequestHead) {
    out.push_str(r#""method":"#);
    push_json(out, head.method.as_str());
    out.push_str(r#","url":"#);
    push_json(out, &head.uri.to_string());
    if let Some(remote) = head.remote {
        let _ = write!(out, r#","address":"{}","port":{}"#, remote.ip(), remote.port());
    }
    let _ = write!(out, r#","secure":{},"headers":["#, head.secure);
    for (idx, (name, value)) in head.headers.iter().enumerate() {
        if idx > 0 {
            out.push(',');
        }
        push_json(out, name.as_str());
        out.push(',');
        let text: String = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        push_json(out, &text);
    }
    out.push(']');
}

/// A handshake as JSON text, with what JavaScript shows of the connection.
pub(crate) fn handshake(handshake: &Handshake, engine_id: &str, protocol: u8, transport: &str) -> String {
    let issued = handshake.issued.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let tag = tag_of(&handshake.head);
    let mut out = String::with_capacity(512);
    out.push('{');
    push_head(&mut out, &handshake.head);
    out.push_str(r#","engine":"#);
    push_json(&mut out, engine_id);
    let _ =
        write!(out, r#","tag":{tag},"protocol":{protocol},"transport":"{transport}","issued":{issued}}}"#);
    out
}

/// The number of a request whose object JavaScript keeps, or 0.
pub(crate) fn tag_of(head: &RequestHead) -> u64 {
    head.extensions.get::<Arc<KeptRequest>>().map_or(0, |kept| kept.tag)
}
