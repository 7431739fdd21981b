//! Whatever is encoded decodes to itself, and no bytes make a decoder fail otherwise than by an error.

use bytes::Bytes;
use ferrio_protocol::{
    engine::{self, Data, Packet, PacketType, Protocol, payload},
    json::{self, JsonError},
    socket::{self, Assembler, Limits, Revision, msgpack},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

const LIMITS: Limits =
    Limits { max_attachments: 64, max_attachment_bytes: 1 << 20, max_depth: 512, max_namespace: 8192 };

proptest! {
    // A case that once failed becomes a vector, where all languages see it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn payloads_decode_to_what_was_encoded(
        is_v3: bool,
        supports_binary: bool,
        messages in vec(message(), 1..8),
    ) {
        let protocol = if is_v3 { Protocol::V3 } else { Protocol::V4 };
        let mut encoder = payload::PayloadEncoder::new(protocol, supports_binary);
        for message in &messages {
            match message {
                Message::Text(text) => encoder.push_text(&format!("4{text}")),
                Message::Binary(bytes) => encoder.push_binary(bytes),
            }
        }
        let n_bytes = encoder.len();
        let (body, is_binary) = encoder.finish();
        prop_assert_eq!(body.len(), n_bytes);
        let decoded: Result<Vec<_>, _> = payload::decode(protocol, &body, is_binary).collect();
        prop_assert_eq!(decoded.unwrap(), messages.iter().map(Message::packet).collect::<Vec<_>>());
    }

    #[test]
    fn events_decode_to_what_was_encoded(
        namespace in "(/[a-z0-9_-]{0,12})",
        id in proptest::option::of(0..1_u64 << 53),
        arguments in vec(value(), 0..4),
        attachments in vec(any::<Vec<u8>>(), 0..4),
    ) {
        let data = event(&arguments, attachments.len()).to_string();
        let mut text = String::new();
        socket::encode_event(&mut text, &namespace, id, &data, attachments.len());
        let packet = socket::decode(Revision::V5, &text, &LIMITS).unwrap();
        prop_assert_eq!(packet.namespace, &namespace);
        prop_assert_eq!(packet.id, id);
        prop_assert_eq!(packet.event().unwrap(), "event");
        prop_assert_eq!(packet.data, Some(data.as_str()));
        prop_assert_eq!(packet.attachments, attachments.len());
        if !attachments.is_empty() {
            let mut assembler = Assembler::new();
            assembler.begin(&packet, &LIMITS).unwrap();
            let mut complete = None;
            for attachment in &attachments {
                prop_assert_eq!(complete, None);
                complete = assembler.push(attachment.clone().into()).unwrap();
            }
            prop_assert_eq!(complete.unwrap().attachments, attachments);
        }
    }

    #[test]
    fn msgpack_packets_decode_to_what_was_encoded(
        namespace in "/[a-z0-9é]{0,12}",
        id in proptest::option::of(0..1_u64 << 53),
        arguments in vec(value(), 0..4),
        attachments in vec(any::<Vec<u8>>().prop_map(Bytes::from), 0..4),
    ) {
        let event = event(&arguments, attachments.len());
        let data = event.to_string();
        let encoded = msgpack::encode(socket::PacketType::Event, &namespace, id, Some(&data), &attachments).unwrap();
        let packet = msgpack::decode(&encoded.into(), &LIMITS).unwrap();
        prop_assert_eq!(packet.namespace, namespace);
        prop_assert_eq!(packet.id, id);
        prop_assert_eq!(packet.event.as_deref(), Some("event"));
        prop_assert_eq!(serde_json::from_str::<Value>(&packet.data.unwrap()).unwrap(), event);
        prop_assert_eq!(packet.attachments, attachments);
    }

    #[test]
    fn strings_decode_to_what_was_encoded(text: String) {
        let mut written = String::new();
        json::write_string(&mut written, &text);
        prop_assert_eq!(json::scan(&written, 0, &mut ()), Ok(()));
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn the_scanner_agrees_with_serde_json(text in almost_json()) {
        // The other parser is stricter where a value must fit a Rust type.
        let other = serde_json::from_str::<serde::de::IgnoredAny>(&text).map(|_| ());
        prop_assert_eq!(json::scan(&text, 100, &mut ()), other.map_err(|_| JsonError::Malformed), "{}", text);
    }

    #[test]
    fn no_bytes_break_a_decoder(bytes: Vec<u8>, text: String, is_binary: bool) {
        for protocol in [Protocol::V3, Protocol::V4] {
            let _ = engine::decode_text(protocol, &text);
            let _ = engine::decode_binary(protocol, &bytes);
            let n_packets = payload::decode(protocol, &bytes, is_binary).count();
            prop_assert!(n_packets <= bytes.len() + 1);
        }
        let _ = socket::decode(Revision::V4, &text, &LIMITS);
        let _ = msgpack::decode(&bytes.into(), &LIMITS);
    }
}

#[derive(Clone, Debug)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl Message {
    fn packet(&self) -> Packet<'_> {
        let data = match self {
            Self::Text(text) => Data::Text(text),
            Self::Binary(bytes) => Data::Binary(bytes.into()),
        };
        Packet { kind: PacketType::Message, data }
    }
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        // A separator cannot be in a text of revision 4; JSON escapes it.
        any::<String>().prop_map(|text| Message::Text(text.replace('\x1e', ""))),
        any::<Vec<u8>>().prop_map(Message::Binary),
    ]
}

fn event(arguments: &[Value], n_attachments: usize) -> Value {
    let placeholders = (0..n_attachments).map(|number| json!([{"_placeholder": true, "num": number}]));
    let name = [Value::from("event")].into_iter();
    name.chain(arguments.iter().cloned()).chain(placeholders).collect()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        // Whole numbers stay out: they come back as integers, as JavaScript would have it.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) + 1.0 / 64.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::from),
            vec((any::<String>(), inner), 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Pieces of JSON in any order, and JSON with a piece cut out.
fn almost_json() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        "\"a\"",
        "\"\\n\"",
        "\"\\u00e9\"",
        "\"",
        "\\",
        "1",
        "-",
        "0",
        ".5",
        "e3",
        "null",
        "true",
        "é",
        "\n",
        "\"b\":",
        "[]",
        "{}",
    ]);
    let cut = (value(), any::<prop::sample::Index>(), 0..3_usize).prop_map(|(value, index, n_chars)| {
        let text = value.to_string();
        let at = index.index(text.chars().count());
        text.chars().take(at).chain(text.chars().skip(at + n_chars)).collect()
    });
    prop_oneof![vec(pieces, 0..12).prop_map(|pieces| pieces.concat()), cut]
}
