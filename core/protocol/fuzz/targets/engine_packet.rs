//! One Engine.IO packet: what decodes can be encoded, and then means the same.
#![no_main]

use ferrio_protocol::engine::{
    Data, Packet, Protocol, decode_binary, decode_text, encode_base64, encode_binary,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for protocol in [Protocol::V3, Protocol::V4] {
        if let Ok(text) = std::str::from_utf8(input)
            && let Ok(packet) = decode_text(protocol, text)
        {
            check(protocol, &packet);
        }
        if let Ok(packet) = decode_binary(protocol, input) {
            check(protocol, &packet);
        }
    }
});

fn check(protocol: Protocol, packet: &Packet<'_>) {
    match &packet.data {
        Data::Text(body) => {
            let text = format!("{}{body}", char::from(packet.kind.digit()));
            assert_eq!(decode_text(protocol, &text).as_ref(), Ok(packet));
        }
        Data::Binary(body) => {
            let mut text = String::new();
            encode_base64(protocol, body, &mut text);
            assert_eq!(decode_text(protocol, &text).expect("encoded just now").data, packet.data);
            let mut frame = Vec::new();
            encode_binary(protocol, body, &mut frame);
            assert_eq!(decode_binary(protocol, &frame).expect("encoded just now").data, packet.data);
        }
    }
}
