//! Writes HTTP/1.1 requests and reads responses.

use std::borrow::Cow;

use crate::Result;

/// One whole response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    /// The value of `Sec-WebSocket-Accept`.
    pub(crate) accept: Option<&'a str>,
    pub(crate) body: Cow<'a, [u8]>,
}

/// The example key of [RFC 6455, section 1.3](https://www.rfc-editor.org/rfc/rfc6455#section-1.3).
const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What a server answers to [`WEBSOCKET_KEY`].
pub(crate) const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Appends a GET.
pub(crate) fn get(out: &mut Vec<u8>, path: &str) {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nUser-Agent: ferrio-load\r\n\r\n");
    out.extend(request.as_bytes());
}

/// Appends a POST of text.
pub(crate) fn post(out: &mut Vec<u8>, path: &str, body: &[u8]) {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nUser-Agent: ferrio-load\r\n\
         Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n"
    );
    out.extend(head.as_bytes());
    out.extend(body);
}

/// Appends the request that opens a WebSocket.
pub(crate) fn upgrade(out: &mut Vec<u8>, path: &str) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: ferrio-load\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\n\r\n"
    );
    out.extend(request.as_bytes());
}

/// Reads the first response and its length in bytes; `None` while it is not complete.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Response<'_>, usize)>> {
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
    else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..head_end])?;
    let status = head.get(9..12).ok_or("a response without a status")?.parse()?;
    let mut response = Response { status, accept: None, body: Cow::default() };
    let mut length = Some(0);
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = None;
        } else if name.eq_ignore_ascii_case("sec-websocket-accept") {
            response.accept = Some(value);
        }
    }
    let rest = &bytes[head_end..];
    let body = match length {
        Some(length) => rest.get(..length).map(|body| (Cow::Borrowed(body), length)),
        None => read_chunks(rest)?.map(|(body, length)| (Cow::Owned(body), length)),
    };
    Ok(body.map(|(body, length)| (Response { body, ..response }, head_end + length)))
}

/// Reads a chunked body and its length in bytes; `None` while it is not complete.
fn read_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    let mut position = 0;
    loop {
        let Some(line) = bytes[position..].windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[position..position + line])?, 16)?;
        let start = position + line + 2;
        let end = start + size + 2;
        let Some(chunk) = bytes.get(start..end) else { return Ok(None) };
        if size == 0 {
            return Ok(Some((body, end)));
        }
        body.extend(&chunk[..size]);
        position = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_once_its_body_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1";
        assert_eq!(read(&bytes[..20]).unwrap(), None);
        assert_eq!(read(&bytes[..39]).unwrap(), None);
        let (response, length) = read(bytes).unwrap().unwrap();
        assert_eq!((response.status, &*response.body, length), (200, &b"ok"[..], 40));
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(read(&bytes[..bytes.len() - 1]).unwrap(), None);
        let (response, length) = read(bytes).unwrap().unwrap();
        assert_eq!((&*response.body, length), (&b"abc"[..], bytes.len()));
    }
}
