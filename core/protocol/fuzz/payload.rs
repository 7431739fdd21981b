//! What holds for the body of a long-polling request in either revision.

use ferrio_protocol::engine::{
    Data, Packet, PacketType, Protocol,
    payload::{PayloadEncoder, decode},
};

/// Decodes a body, and checks that its messages survive being encoded.
pub fn check(protocol: Protocol, body: &[u8], is_binary: bool, supports_binary: bool) {
    let mut packets: Vec<Packet<'_>> = Vec::new();
    let mut is_over = false;
    for packet in decode(protocol, body, is_binary) {
        assert!(!is_over, "a packet after an error");
        match packet {
            Ok(packet) => packets.push(packet),
            Err(_) => is_over = true,
        }
    }
    assert!(packets.len() <= body.len());
    // Bytes in a packet that is no message cannot be encoded, and no server sends such.
    packets.retain(|packet| packet.kind == PacketType::Message || matches!(packet.data, Data::Text(_)));
    if !packets.is_empty() {
        check_encoding(protocol, &packets, supports_binary);
    }
}

fn check_encoding(protocol: Protocol, packets: &[Packet<'_>], supports_binary: bool) {
    let mut encoder = PayloadEncoder::new(protocol, supports_binary);
    for packet in packets {
        match &packet.data {
            Data::Text(body) => encoder.push_text(&format!("{}{body}", char::from(packet.kind.digit()))),
            Data::Binary(body) => encoder.push_binary(body),
        }
    }
    let n_bytes = encoder.len();
    let (body, is_binary) = encoder.finish();
    assert_eq!(body.len(), n_bytes);
    let decoded: Result<Vec<_>, _> = decode(protocol, &body, is_binary).collect();
    assert_eq!(decoded.as_deref(), Ok(packets));
}
