//! Encodes packets as text.
//!
//! The functions append, so that a frame's Engine.IO type can stand in `out` already. They do not look into the
//! JSON they are given.

use crate::socket::{PacketType, Revision};

/// Appends an event. `data` is the array of its name and arguments, with placeholders for `n_attachments`.
pub fn encode_event(out: &mut String, namespace: &str, id: Option<u64>, data: &str, n_attachments: usize) {
    let kind = if n_attachments == 0 { PacketType::Event } else { PacketType::BinaryEvent };
    encode(out, kind, namespace, id, data, n_attachments);
}

/// Appends the answer to the event with this id. `data` is the array of its arguments.
pub fn encode_ack(out: &mut String, namespace: &str, id: u64, data: &str, n_attachments: usize) {
    let kind = if n_attachments == 0 { PacketType::Ack } else { PacketType::BinaryAck };
    encode(out, kind, namespace, Some(id), data, n_attachments);
}

/// Appends the answer that lets a client into a namespace. The older revision cannot carry its `data`, the object
/// with the socket's id.
pub fn encode_connect(out: &mut String, revision: Revision, namespace: &str, data: &str) {
    let data = if revision == Revision::V4 { "" } else { data };
    encode(out, PacketType::Connect, namespace, None, data, 0);
}

/// Appends the answer that keeps a client out of a namespace. `data` is an object with a `message`; in the older
/// revision it is the message alone, as a JSON string.
pub fn encode_connect_error(out: &mut String, namespace: &str, data: &str) {
    encode(out, PacketType::ConnectError, namespace, None, data, 0);
}

/// Appends the packet that puts a client out of a namespace.
pub fn encode_disconnect(out: &mut String, namespace: &str) {
    encode(out, PacketType::Disconnect, namespace, None, "", 0);
}

fn encode(
    out: &mut String,
    kind: PacketType,
    namespace: &str,
    id: Option<u64>,
    data: &str,
    n_attachments: usize,
) {
    // Room for the type, the count, the comma and an id of six digits; a longer id grows the string.
    out.reserve(namespace.len() + data.len() + 12);
    out.push(char::from(b'0' + kind as u8));
    let mut buffer = itoa::Buffer::new();
    if n_attachments > 0 {
        out.push_str(buffer.format(n_attachments));
        out.push('-');
    }
    if namespace != "/" {
        out.push_str(namespace);
        out.push(',');
    }
    if let Some(id) = id {
        out.push_str(buffer.format(id));
    }
    out.push_str(data);
}
