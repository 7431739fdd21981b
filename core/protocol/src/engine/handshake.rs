//! The open packet, with which a session begins.
//!
//! See <https://socket.io/docs/v4/engine-io-protocol/#handshake>.

use std::fmt::Write as _;

use crate::{
    engine::{SessionConfig, TransportKind},
    json,
};

/// What the open packet tells the client.
#[derive(Clone, Copy, Debug)]
pub struct Handshake<'a> {
    /// The session's id.
    pub sid: &'a str,
    /// The transports that the client may move to.
    pub upgrades: &'a [TransportKind],
    /// The intervals that the client has to know.
    pub config: &'a SessionConfig,
    /// The greatest body of a POST request, in bytes. The official server announces it to clients of revision 3, too.
    pub max_payload: usize,
}

/// Encodes the whole open packet, its type digit included: `0{"sid":…}`.
pub fn handshake(open: &Handshake<'_>) -> String {
    let mut text = String::with_capacity(128);
    text.push_str("0{\"sid\":");
    json::write_string(&mut text, open.sid);
    text.push_str(",\"upgrades\":[");
    for (idx, transport) in open.upgrades.iter().enumerate() {
        if idx > 0 {
            text.push(',');
        }
        json::write_string(&mut text, transport.as_str());
    }
    let interval = open.config.ping_interval.as_millis();
    let timeout = open.config.ping_timeout.as_millis();
    let _ = write!(text, "],\"pingInterval\":{interval},\"pingTimeout\":{timeout}");
    let _ = write!(text, ",\"maxPayload\":{}}}", open.max_payload);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_announces_everything() {
        let config = SessionConfig::default();
        let upgrades = &[TransportKind::WebSocket];
        let open = Handshake { sid: "a\"b", upgrades, config: &config, max_payload: 1_000_000 };
        assert_eq!(
            handshake(&open),
            r#"0{"sid":"a\"b","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }
}
