//! The text of one Socket.IO packet: its data is JSON that others can read, and it survives being encoded.
#![no_main]

use bytes::Bytes;
use ferrio_protocol::{
    json,
    socket::{
        Assembler, Limits, Packet, PacketType, Revision, decode, encode_ack, encode_connect,
        encode_connect_error, encode_disconnect, encode_event,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    compare_with_serde_json(text);
    for revision in [Revision::V4, Revision::V5] {
        let Ok(packet) = decode(revision, text, &LIMITS) else { continue };
        if let Some(data) = packet.data {
            assert_eq!(json::scan(data, LIMITS.max_depth, &mut ()), Ok(()));
        }
        assert_eq!(packet.event().is_some(), packet.kind.without_attachments() == PacketType::Event);
        check_encoding(revision, &packet);
        check_assembly(&packet);
    }
});

/// The two agree but on escapes of surrogates, which Rust's strings cannot hold. The depth is below the one at
/// which the other gives up.
fn compare_with_serde_json(text: &str) {
    let other: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
    let scanned = json::scan(text, 100, &mut ());
    if !text.contains("\\u") && scanned != Err(json::JsonError::TooDeep) {
        assert_eq!(scanned.is_ok(), other.is_ok(), "{text}");
    }
}

fn check_encoding(revision: Revision, packet: &Packet<'_>) {
    let mut text = String::new();
    let namespace = match packet.query {
        Some(query) => format!("{}?{query}", packet.namespace),
        None => packet.namespace.to_owned(),
    };
    let data = packet.data.unwrap_or_default();
    match (packet.kind, packet.id) {
        (PacketType::Event | PacketType::BinaryEvent, id) => {
            encode_event(&mut text, &namespace, id, data, packet.attachments);
        }
        (PacketType::Ack | PacketType::BinaryAck, Some(id)) => {
            encode_ack(&mut text, &namespace, id, data, packet.attachments);
        }
        (PacketType::Connect, None) if revision == Revision::V5 => {
            encode_connect(&mut text, revision, &namespace, data);
        }
        (PacketType::ConnectError, None) => encode_connect_error(&mut text, &namespace, data),
        (PacketType::Disconnect, None) => encode_disconnect(&mut text, &namespace),
        // An id where there is nothing to answer, and a payload in an older CONNECT, are not written.
        _ => return,
    }
    assert_eq!(decode(revision, &text, &LIMITS).as_ref(), Ok(packet), "{text}");
}

fn check_assembly(packet: &Packet<'_>) {
    if packet.attachments == 0 {
        return;
    }
    let mut assembler = Assembler::new();
    assembler.begin(packet, &LIMITS).expect("nothing else was due");
    for n_missing in (0..packet.attachments).rev() {
        let complete = assembler.push(Bytes::from_static(b"x")).expect("one was due");
        assert_eq!(complete.is_some(), n_missing == 0);
    }
}

const LIMITS: Limits =
    Limits { max_attachments: 10, max_attachment_bytes: 100, max_depth: 64, max_namespace: 64 };
