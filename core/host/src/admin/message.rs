//! The events of the admin UI, as payloads.

use std::{sync::Arc, time::SystemTime};

use ferrio::{Observation, Observed, Payload, Room, RoomChange, Socket};
use ferrio_protocol::json::write_string;

use crate::admin::{
    data::Data,
    options::AdminOptions,
    record::{list, write_room, write_socket, write_time},
};

/// The arguments of an event beyond so many bytes are not shown: an admin client is to keep a thousand events in a page.
const MAX_SHOWN: usize = 16 << 10;

/// Of an event's name so many characters are shown.
const MAX_NAME: usize = 256;

/// What the UI can ask for.
pub(super) fn config(options: &AdminOptions) -> Payload {
    const COMMANDS: [&str; 7] = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"];
    let commands = if options.takes_commands { &COMMANDS[..] } else { &[] };
    let all = options.shows_all.then_some(&"ALL_EVENTS");
    let mut text = String::from(r#"["config",{"supportedFeatures":"#);
    let features = commands.iter().chain([&"AGGREGATED_EVENTS"]).chain(all);
    list(&mut text, '[', ']', features, |out, feature| write_string(out, feature));
    text.push_str("}]");
    payload(text)
}

/// All sockets, of which the UI forgets what it knew before.
pub(super) fn all_sockets(
    sockets: &[(Arc<Socket>, Vec<Room>)],
    options: &AdminOptions,
    data: &Data,
) -> Payload {
    let mut text = String::from(r#"["all_sockets","#);
    list(&mut text, '[', ']', sockets, |out, (socket, rooms)| record(out, socket, rooms, options, data));
    text.push(']');
    payload(text)
}

/// A socket that the UI does not know yet.
pub(super) fn connected(
    socket: &Socket,
    rooms: &[Room],
    at: SystemTime,
    options: &AdminOptions,
    data: &Data,
) -> Payload {
    let mut text = String::from(r#"["socket_connected","#);
    record(&mut text, socket, rooms, options, data);
    end(text, at, &Payload::default())
}

/// A socket's transport is another now.
pub(super) fn upgraded(socket: &Socket) -> Payload {
    let mut text = update(socket, "transport");
    write_string(&mut text, socket.transport().as_str());
    text.push_str("}]");
    payload(text)
}

/// A socket's data is another now.
pub(super) fn data(socket: &Socket, data: &str) -> Payload {
    let mut text = update(socket, "data");
    text.push_str(data);
    text.push_str("}]");
    payload(text)
}

fn update(socket: &Socket, field: &str) -> String {
    let mut text = String::from(r#"["socket_updated",{"id":"#);
    write_string(&mut text, socket.id());
    text.push_str(r#","nsp":"#);
    write_string(&mut text, socket.namespace().name());
    text.push(',');
    write_string(&mut text, field);
    text.push(':');
    text
}

fn record(out: &mut String, socket: &Socket, rooms: &[Room], options: &AdminOptions, data: &Data) {
    let data = data.of(socket);
    write_socket(out, socket, rooms, data.as_deref().unwrap_or("{}"), options.shows_secrets);
}

/// What an observer has seen.
pub(super) fn observed(observation: &Observation, options: &AdminOptions, data: &Data) -> Payload {
    let at = observation.at;
    match &observation.what {
        Observed::Connected(socket, rooms) => connected(socket, rooms, at, options, data),
        Observed::Disconnected(socket, reason) => {
            let mut text = begin("socket_disconnected", socket.namespace().name());
            write_string(&mut text, socket.id());
            text.push(',');
            write_string(&mut text, reason.as_str());
            end(text, at, &Payload::default())
        }
        Observed::Joined(change) => room("room_joined", change, at),
        Observed::Left(change) => room("room_left", change, at),
        Observed::Received(socket, payload) => event("event_received", socket, payload, at),
        Observed::Sent(socket, payload) => event("event_sent", socket, payload, at),
        _ => Payload::default(),
    }
}

fn room(name: &str, change: &RoomChange, at: SystemTime) -> Payload {
    let mut text = begin(name, &change.namespace);
    write_room(&mut text, &change.room);
    text.push(',');
    write_string(&mut text, &change.socket);
    end(text, at, &Payload::default())
}

/// An event is shown as it is encoded, its binary values beside it.
fn event(name: &str, socket: &Socket, shown: &Payload, at: SystemTime) -> Payload {
    let mut text = begin(name, socket.namespace().name());
    write_string(&mut text, socket.id());
    text.push(',');
    if shown.len() <= MAX_SHOWN {
        text.push_str(shown.text());
        return end(text, at, shown);
    }
    text.push('[');
    write_string(&mut text, &event_name(shown.text()));
    text.push(',');
    write_string(&mut text, &format!("({} bytes)", shown.len()));
    text.push(']');
    end(text, at, &Payload::default())
}

/// The first value of an array, where it is a text.
fn event_name(array: &str) -> String {
    let values = serde_json::Deserializer::from_str(array.trim_start().strip_prefix('[').unwrap_or_default());
    match values.into_iter::<String>().next() {
        Some(Ok(name)) => name.chars().take(MAX_NAME).collect(),
        _ => String::new(),
    }
}

fn begin(name: &str, namespace: &str) -> String {
    let mut text = String::with_capacity(128);
    text.push('[');
    write_string(&mut text, name);
    text.push(',');
    write_string(&mut text, namespace);
    text.push(',');
    text
}

/// Ends an event by its time; its binary values are those of `with`.
fn end(mut text: String, at: SystemTime, with: &Payload) -> Payload {
    text.push(',');
    write_time(&mut text, at);
    text.push(']');
    Payload::new(text, with.attachments().to_vec())
}

fn payload(text: String) -> Payload {
    Payload::new(text, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_is_its_first_value() {
        assert_eq!(event_name(r#"["a\nb",1,"c"]"#), "a\nb");
        assert_eq!(event_name(&format!(r#"["{}",1]"#, "x".repeat(300))).len(), MAX_NAME);
        assert_eq!(event_name("[1,2]"), "");
        assert_eq!(event_name(""), "");
    }
}
