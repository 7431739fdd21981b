//! Reads what long-polling responses carry.

use crate::Result;
use crate::http::Response;
use crate::packet::unexpected;

/// Where a polling session is opened.
pub(crate) const POLLING_PATH: &str = "/socket.io/?EIO=4&transport=polling";

/// The body of a response that must be a success.
pub(crate) fn body<'a>(response: &'a Response<'_>) -> Result<&'a [u8]> {
    if response.status == 200 { Ok(&response.body) } else { Err(unexpected(&response.body).into()) }
}

/// Checks the response to a POST. Servers differ in the case of the word.
pub(crate) fn confirm_post(response: &Response<'_>) -> Result<()> {
    let body = body(response)?;
    if body.eq_ignore_ascii_case(b"ok") { Ok(()) } else { Err(unexpected(body).into()) }
}

/// The packets of a payload.
pub(crate) fn packets(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    payload.split(|&byte| byte == 0x1e)
}

/// The part of a query that names the session which an open packet opens.
pub(crate) fn session_query(open_packet: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(open_packet)?;
    let id = text.split_once(r#""sid":""#).and_then(|(_, rest)| rest.split_once('"'));
    let (id, _) = id.filter(|_| text.starts_with("0{")).ok_or_else(|| unexpected(open_packet))?;
    Ok(format!("&sid={id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_from_an_open_packet_only() {
        assert_eq!(session_query(br#"0{"sid":"abc","upgrades":[]}"#).unwrap(), "&sid=abc");
        assert!(session_query(br#"40{"sid":"abc"}"#).is_err());
        assert!(session_query(b"0{}").is_err());
    }
}
