//! A socket, as the admin UI shows it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use ferrio::{Room, Socket};
use ferrio_engine::RequestHead;
use ferrio_protocol::{json::write_string, socket::msgpack::write_date};

/// The session's id is the client's secret, so that only its beginning is shown, as socket.io does.
const SHOWN_OF_ID: usize = 12;

/// Headers that carry secrets.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// What stands in the place of their values.
const REDACTED: &str = "[redacted]";

/// Before the client's address, where a proxy has told it.
const FORWARDED: [&str; 2] = ["cf-connecting-ip", "x-forwarded-for"];

/// Appends a socket as a JSON object, with its data, which is JSON text.
pub(super) fn write_socket(
    out: &mut String,
    socket: &Socket,
    rooms: &[Room],
    data: &str,
    shows_secrets: bool,
) {
    let id = socket.connection().id();
    let shown = id.char_indices().nth(SHOWN_OF_ID).map_or(&**id, |(end, _)| &id[..end]);
    out.push_str(r#"{"id":"#);
    write_string(out, socket.id());
    out.push_str(r#","clientId":"#);
    write_string(out, shown);
    let _ = write!(out, r#","transport":"{}","nsp":"#, socket.transport().as_str());
    write_string(out, socket.namespace().name());
    out.push_str(r#","data":"#);
    out.push_str(data);
    out.push_str(r#","handshake":"#);
    write_handshake(out, &socket.handshake().head, socket.handshake().issued, shows_secrets);
    out.push_str(r#","rooms":"#);
    list(out, '[', ']', rooms, write_room);
    out.push('}');
}

/// Appends a room's name. A value that only the host's language knows is shown by what the core has of it.
pub(super) fn write_room(out: &mut String, room: &Room) {
    match room {
        Room::Number(number) if number.value().is_finite() => _ = write!(out, "{}", number.value()),
        room => write_string(out, &room.to_string()),
    }
}

/// Appends a time as JavaScript does.
pub(super) fn write_time(out: &mut String, time: SystemTime) {
    write_date(out, millis(time));
}

/// Milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn write_handshake(out: &mut String, head: &RequestHead, issued: SystemTime, shows_secrets: bool) {
    out.push_str(r#"{"address":"#);
    let forwarded = FORWARDED.iter().find_map(|name| head.header(*name));
    let remote = head.remote.map(|remote| remote.ip().to_canonical().to_string());
    write_string(out, forwarded.or(remote.as_deref()).unwrap_or_default());
    out.push_str(r#","headers":"#);
    list(out, '{', '}', head.headers.keys(), |out, name| {
        write_string(out, name.as_str());
        out.push(':');
        if SECRET.contains(&name.as_str()) && !shows_secrets {
            return write_string(out, REDACTED);
        }
        let values = head.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        write_string(out, &values.collect::<Vec<_>>().join(", "));
    });
    out.push_str(r#","query":"#);
    write_query(out, head);
    let _ = write!(out, r#","issued":{},"secure":{},"time":"#, millis(issued), head.secure);
    write_time(out, issued);
    out.push_str(r#","url":"#);
    write_string(out, &head.uri.to_string());
    let _ = write!(out, r#","xdomain":{}}}"#, head.headers.contains_key("origin"));
}

/// Appends a query; a name that is repeated has the list of its values.
fn write_query(out: &mut String, head: &RequestHead) {
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in head.query_pairs() {
        query.entry(name).or_default().push(value);
    }
    list(out, '{', '}', query, |out, (name, values)| {
        write_string(out, &name);
        out.push(':');
        match values.as_slice() {
            [value] => write_string(out, value),
            values => list(out, '[', ']', values, |out, value| write_string(out, value)),
        }
    });
}

/// Appends items between brackets.
pub(super) fn list<T>(
    out: &mut String,
    open: char,
    close: char,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (idx, item) in items.into_iter().enumerate() {
        if idx > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}
