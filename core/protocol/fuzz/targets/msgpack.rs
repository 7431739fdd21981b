//! One packet of the MessagePack parser: it becomes JSON that others can read, and means the same after a round trip.
#![no_main]

use bytes::Bytes;
use ferrio_protocol::socket::{
    Limits,
    msgpack::{decode, encode},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Ok(packet) = decode(&Bytes::copy_from_slice(input), &LIMITS) else { return };
    let data = packet.data.as_deref();
    if let Some(data) = data {
        // A placeholder has 30 bytes, and nothing else takes up more than ten times its place.
        assert!(data.len() <= input.len() * 10 + 30 * LIMITS.max_attachments, "{data}");
        serde_json::from_str::<Value>(data).expect("valid JSON");
    }
    let attachments = &packet.attachments;
    assert!(attachments.len() <= LIMITS.max_attachments);
    let encoded = encode(packet.kind, &packet.namespace, packet.id, data, attachments).expect("valid JSON");
    let again = decode(&encoded.into(), &LIMITS).expect("encoded just now");
    // A negative zero is written as zero.
    if !data.is_some_and(|data| data.contains("-0")) {
        assert_eq!(again, packet);
    }
    assert_eq!(again.attachments, packet.attachments);
});

const LIMITS: Limits =
    Limits { max_attachments: 10, max_attachment_bytes: 100, max_depth: 64, max_namespace: 64 };
