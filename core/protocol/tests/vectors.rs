//! Runs the wire vectors that all languages share; `tests/vectors/README.md` describes them.
#![expect(clippy::unwrap_used, reason = "a vector that cannot be read is a failed test")]

use std::{
    borrow::Cow,
    fmt::{Debug, Write as _},
    fs,
    path::Path,
};

use bytes::Bytes;
use ferrio_protocol::{
    engine::{self, Data, Protocol, payload},
    socket::{self, Limits, Revision, msgpack},
};
use serde_json::{Value, json};

#[test]
fn engine_packets() {
    for case in cases("engine_packets") {
        let wire = Wire::of(&case);
        let decoded = match &wire {
            Wire::Text(text) => engine::decode_text(protocol(&case), text),
            Wire::Bytes(bytes) => engine::decode_binary(protocol(&case), bytes),
        };
        check(&case, decoded.as_ref().map(engine_packet), &case["packet"]);
        if let Ok(packet) = decoded
            && is_reversible(&case)
        {
            assert_eq!(encode_engine_packet(protocol(&case), &packet, &wire), wire, "{case}");
        }
    }
}

#[test]
fn payloads() {
    for case in cases("payloads") {
        let (protocol, wire) = (protocol(&case), Wire::of(&case));
        let is_binary = case["is_binary"].as_bool().unwrap_or_default();
        let mut packets = Vec::new();
        let mut error = None;
        for packet in payload::decode(protocol, wire.bytes(), is_binary) {
            assert_eq!(error, None, "a packet after an error: {case}");
            match packet {
                Ok(packet) => packets.push(packet),
                Err(why) => error = Some(why),
            }
        }
        assert_eq!(error.map(variant), case["error"].as_str().map(str::to_owned), "{case}");
        assert_eq!(packets.iter().map(engine_packet).collect::<Value>(), case["packets"], "{case}");
        if is_reversible(&case) {
            let supports_binary = case["supports_binary"].as_bool().unwrap_or(true);
            let mut encoder = payload::PayloadEncoder::new(protocol, supports_binary);
            for packet in &packets {
                match &packet.data {
                    Data::Text(text) => encoder.push_text(&full_text(packet.kind, text)),
                    Data::Binary(bytes) => encoder.push_binary(bytes),
                }
            }
            assert_eq!(encoder.finish(), (wire.bytes().to_vec(), is_binary), "{case}");
        }
    }
}

#[test]
fn socket_packets() {
    for case in cases("socket_packets") {
        let revision = if case["revision"] == 4 { Revision::V4 } else { Revision::V5 };
        let text = case["text"].as_str().unwrap();
        let decoded = socket::decode(revision, text, &Limits::default());
        check(&case, decoded.as_ref().map(|packet| socket_packet(&case, packet)), &case["packet"]);
        if let Ok(packet) = decoded
            && is_reversible(&case)
        {
            assert_eq!(encode_socket_packet(revision, &packet), text, "{case}");
        }
    }
}

#[test]
fn msgpack_packets() {
    for case in cases("msgpack_packets") {
        let wire = Wire::of(&case);
        let decoded = msgpack::decode(&Bytes::copy_from_slice(wire.bytes()), &Limits::default());
        check(&case, decoded.as_ref().map(|packet| msgpack_packet(&case, packet)), &case["packet"]);
        if let Ok(packet) = decoded
            && is_reversible(&case)
        {
            let data = packet.data.as_deref();
            let encoded =
                msgpack::encode(packet.kind, &packet.namespace, packet.id, data, &packet.attachments)
                    .unwrap();
            assert_eq!(Wire::Bytes(encoded), wire, "{case}");
        }
    }
}

#[derive(Debug, PartialEq)]
enum Wire {
    Text(String),
    Bytes(Vec<u8>),
}

impl Wire {
    fn of(case: &Value) -> Self {
        match (case["text"].as_str(), case["hex"].as_str()) {
            (Some(text), None) => Self::Text(text.to_owned()),
            (None, Some(hex)) => Self::Bytes(from_hex(hex)),
            _ => panic!("a case needs either text or hex: {case}"),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn cases(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let text = fs::read_to_string(folder.join(file).with_extension("json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    cases
}

fn check<E: Debug + Copy>(case: &Value, decoded: Result<Value, &E>, packet: &Value) {
    match decoded {
        Ok(decoded) => assert_eq!(&decoded, packet, "{case}"),
        Err(error) => assert_eq!(Some(variant(*error).as_str()), case["error"].as_str(), "{case}"),
    }
}

/// The name of an error's innermost variant: `Packet(UnknownType)` wraps one decoder's error in another's.
fn variant(error: impl Debug) -> String {
    let name = format!("{error:?}");
    name.trim_start_matches("Packet(").trim_end_matches(')').to_owned()
}

fn is_reversible(case: &Value) -> bool {
    case["error"].is_null() && case["one_way"] != true
}

fn protocol(case: &Value) -> Protocol {
    if case["protocol"] == 3 { Protocol::V3 } else { Protocol::V4 }
}

fn engine_packet(packet: &engine::Packet<'_>) -> Value {
    let kind = format!("{:?}", packet.kind).to_lowercase();
    match &packet.data {
        Data::Text(text) => json!({"type": kind, "text": text}),
        Data::Binary(bytes) => json!({"type": kind, "hex": to_hex(bytes)}),
    }
}

fn encode_engine_packet(protocol: Protocol, packet: &engine::Packet<'_>, like: &Wire) -> Wire {
    match (&packet.data, like) {
        (Data::Text(text), _) => Wire::Text(full_text(packet.kind, text)),
        (Data::Binary(bytes), Wire::Text(_)) => {
            let mut text = String::new();
            engine::encode_base64(protocol, bytes, &mut text);
            Wire::Text(text)
        }
        (Data::Binary(bytes), Wire::Bytes(_)) => {
            let mut frame = Vec::new();
            engine::encode_binary(protocol, bytes, &mut frame);
            Wire::Bytes(frame)
        }
    }
}

fn full_text(kind: engine::PacketType, text: &str) -> String {
    format!("{}{text}", char::from(kind.digit()))
}

fn socket_packet(case: &Value, packet: &socket::Packet<'_>) -> Value {
    let mut value = json!({"type": packet.kind as u8, "nsp": packet.namespace});
    insert(&mut value, "query", packet.query);
    insert(&mut value, "id", packet.id);
    insert(&mut value, "event", packet.event().map(Cow::into_owned));
    insert(&mut value, "attachments", (packet.attachments > 0).then_some(packet.attachments));
    insert_data(&mut value, case, packet.data);
    value
}

fn msgpack_packet(case: &Value, packet: &socket::BinaryPacket) -> Value {
    let mut value = json!({"type": packet.kind as u8, "nsp": packet.namespace});
    insert(&mut value, "id", packet.id);
    insert(&mut value, "event", packet.event.clone());
    let attachments: Vec<_> = packet.attachments.iter().map(|bytes| to_hex(bytes)).collect();
    insert(&mut value, "attachments", (!attachments.is_empty()).then_some(attachments));
    insert_data(&mut value, case, packet.data.as_deref());
    value
}

fn insert_data(value: &mut Value, case: &Value, data: Option<&str>) {
    if case["packet"]["data_text"].is_string() {
        insert(value, "data_text", data);
    } else {
        insert(value, "data", data.map(|text| serde_json::from_str::<Value>(text).unwrap()));
    }
}

fn insert(value: &mut Value, key: &str, member: Option<impl Into<Value>>) {
    if let Some(member) = member {
        value[key] = member.into();
    }
}

fn encode_socket_packet(revision: Revision, packet: &socket::Packet<'_>) -> String {
    use socket::PacketType;
    let mut out = String::new();
    let namespace = match packet.query {
        Some(query) => format!("{}?{query}", packet.namespace),
        None => packet.namespace.to_owned(),
    };
    let data = packet.data.unwrap_or_default();
    match packet.kind {
        PacketType::Connect => socket::encode_connect(&mut out, revision, &namespace, data),
        PacketType::Disconnect => socket::encode_disconnect(&mut out, &namespace),
        PacketType::ConnectError => socket::encode_connect_error(&mut out, &namespace, data),
        PacketType::Event | PacketType::BinaryEvent => {
            socket::encode_event(&mut out, &namespace, packet.id, data, packet.attachments);
        }
        PacketType::Ack | PacketType::BinaryAck => {
            socket::encode_ack(&mut out, &namespace, packet.id.unwrap(), data, packet.attachments);
        }
    }
    out
}

fn to_hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |idx| u8::from_str_radix(&hex[idx..idx + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}
