//! Answers one message with the bytes that a Socket.IO server would send.

use std::sync::atomic::Ordering;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::hub::{Hub, Session};

/// The open packet of a session.
pub(crate) fn open_packet(session: &Session) -> String {
    let id = session.id;
    format!(
        r#"0{{"sid":"{id}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
    )
}

/// Carries a message out and says what to answer; what is not known is not answered.
pub(crate) fn reply(hub: &Hub, session: &Session, message: &str) -> Option<Utf8Bytes> {
    match message {
        "40" => {
            hub.connect(session);
            Some(format!(r#"40{{"sid":"s{}"}}"#, session.id).into())
        }
        "2probe" => Some(Utf8Bytes::from_static("3probe")),
        _ => event(hub, session, message.strip_prefix("42")?),
    }
}

/// Handles `<ack id>["<event>",<arguments>]`.
fn event(hub: &Hub, session: &Session, packet: &str) -> Option<Utf8Bytes> {
    let (id, arguments) = packet.split_at(packet.find('[')?);
    if let Some(data) = arguments.strip_prefix(r#"["echo","#) {
        return Some(concat(["43", id, "[", data]));
    }
    if arguments.starts_with(r#"["tick""#) {
        hub.n_ticks.fetch_add(1, Ordering::Relaxed);
    } else if arguments == r#"["count"]"# {
        return Some(format!("43{id}[{}]", hub.n_ticks.swap(0, Ordering::Relaxed)).into());
    } else if let Some(data) = arguments.strip_prefix(r#"["broadcast","#) {
        hub.broadcast(&concat([r#"42["news""#, ",", data, ""]));
    } else if let Some(rest) = arguments.strip_prefix(r#"["to",""#) {
        let (room, data) = rest.split_once('"')?;
        hub.send_to_room(room, &concat([r#"42["news""#, data, "", ""]));
    } else if let Some(rest) = arguments.strip_prefix(r#"["join",""#) {
        hub.join(session, rest.strip_suffix(r#""]"#)?);
        return Some(concat(["43", id, "[]", ""]));
    }
    None
}

fn concat(parts: [&str; 4]) -> Utf8Bytes {
    parts.concat().into()
}
