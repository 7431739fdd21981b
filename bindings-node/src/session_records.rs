//! The records of the engine's sessions, and of requests that have none.

use std::fmt::Write as _;

use ferrio::{Connection, Message, PacketType, Refusal, RequestHead, SessionEvent};

use crate::{
    records::{Kind, Records},
    request::{self, push_head},
    socket::protocol_number,
    value::{push_json, push_json_list},
};

/// In the number of a packet's type, that it may not be compressed: the same as in `bridge.ts`.
const UNCOMPRESSED: i64 = 8;

/// What a session tells with nothing but its name: the same as `SessionSign` in `native.ts`.
#[derive(Clone, Copy)]
enum Sign {
    Heartbeat = 0,
    Flush = 1,
    Drain = 2,
    Upgrading = 3,
    Upgrade = 4,
    UpgradeFailed = 5,
    Told = 6,
}

impl Records {
    pub(crate) fn push_session(&mut self, connection: &Connection, event: SessionEvent) {
        match event {
            SessionEvent::Opened => {
                self.begin(Kind::SessionOpen, request::tag_of(&connection.handshake().head), 0);
                let handshake = request::handshake(
                    connection.handshake(),
                    connection.id(),
                    protocol_number(connection),
                    connection.transport().as_str(),
                );
                self.text.push_str(&handshake);
            }
            SessionEvent::Message(message, _) => {
                self.begin(Kind::SessionMessage, 0, protocol_number(connection).into());
                self.push_message(connection, message);
            }
            SessionEvent::Packet(kind, message) => {
                self.begin(Kind::SessionPacket, 0, number_of(kind));
                self.push_message(connection, message);
            }
            SessionEvent::PacketCreate(kind, message, compress) => {
                let uncompressed = if compress { 0 } else { UNCOMPRESSED };
                self.begin(Kind::SessionPacketCreate, 0, number_of(kind) | uncompressed);
                self.push_message(connection, message);
            }
            SessionEvent::Refused(namespace, data) => {
                self.begin(Kind::SessionRefused, 0, 0);
                push_json_list(&mut self.text, [&**connection.id(), &*namespace, &*data]);
            }
            SessionEvent::Ending(_) => {
                self.begin(Kind::SessionEnding, 0, 0);
                push_json(&mut self.text, connection.id());
            }
            SessionEvent::Ended => {
                self.begin(Kind::SessionEnded, 0, 0);
                push_json(&mut self.text, connection.id());
            }
            SessionEvent::Closed(reason) => {
                self.begin(Kind::SessionEnd, 0, 0);
                let texts = [&**connection.id(), reason.as_str()];
                push_json_list(&mut self.text, texts.into_iter().chain(connection.fault()));
            }
            SessionEvent::Heartbeat => self.push_sign(connection, Sign::Heartbeat),
            SessionEvent::Flush => self.push_sign(connection, Sign::Flush),
            SessionEvent::Drain => self.push_sign(connection, Sign::Drain),
            SessionEvent::Upgrading => self.push_sign(connection, Sign::Upgrading),
            SessionEvent::Upgrade => self.push_sign(connection, Sign::Upgrade),
            SessionEvent::UpgradeFailed => self.push_sign(connection, Sign::UpgradeFailed),
            SessionEvent::Told => self.push_sign(connection, Sign::Told),
            _ => {}
        }
    }

    /// A request was refused: its head, code and message, and what else is known.
    pub(crate) fn push_refusal(&mut self, head: &RequestHead, refusal: &Refusal) {
        self.begin(Kind::Refused, request::tag_of(head), refusal.code().into());
        self.text.push('{');
        push_head(&mut self.text, head);
        self.text.push_str(r#","message":"#);
        push_json(&mut self.text, refusal.message());
        self.text.push_str(r#","context":{"#);
        for (idx, (name, value)) in refusal.context().iter().enumerate() {
            if idx > 0 {
                self.text.push(',');
            }
            push_json(&mut self.text, name);
            self.text.push(':');
            push_json(&mut self.text, value);
        }
        self.text.push_str("}}");
    }

    fn push_sign(&mut self, connection: &Connection, sign: Sign) {
        self.begin(Kind::SessionSign, 0, sign as i64);
        push_json(&mut self.text, connection.id());
    }

    /// The session's id, and the text or the place of a text or of bytes.
    fn push_message(&mut self, connection: &Connection, message: Message) {
        self.text.push('[');
        push_json(&mut self.text, connection.id());
        self.text.push(',');
        match message {
            Message::Text(text) if self.has_room_for(text.len()) => push_json(&mut self.text, &text),
            message => {
                let place = self.put_beside(message.into());
                let _ = write!(self.text, "{place}");
            }
        }
        self.text.push(']');
    }
}

fn number_of(kind: PacketType) -> i64 {
    (kind.digit() - b'0').into()
}
