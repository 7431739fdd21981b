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
    assert_eq!(again.attachments, packet.attachments);
    // What is written a second time is in its final form: `-0` is 0, and 1.0 is 1.
    let data = again.data.as_deref();
    let encoded = encode(again.kind, &again.namespace, again.id, data, attachments).expect("valid JSON");
    assert_eq!(decode(&encoded.into(), &LIMITS), Ok(again));
});

const LIMITS: Limits =
    Limits { max_attachments: 10, max_attachment_bytes: 100, max_depth: 64, max_namespace: 64 };
