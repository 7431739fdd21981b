//! Socket.IO packets become frames, in the form of the server's parser.

use ferrio_protocol::{
    engine::{ControlPacket, Protocol},
    socket::{self as codec, PacketType, Revision},
};

use ferrio_engine::{Encoded, Frame, PacketType as EnginePacketType};

use crate::{config::Parser, packet::payload::Payload};

/// How packets are written for one kind of client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder {
    pub(crate) parser: Parser,
    pub(crate) protocol: Protocol,
}

/// Bytes of a packet besides its namespace and data: types, attachment count, an id of up to 16 digits.
const OVERHEAD: usize = 24;

impl Encoder {
    /// An event; with an id when an ack is wanted.
    pub(crate) fn event(self, namespace: &str, id: Option<u64>, payload: &Payload) -> Encoded {
        match self.parser {
            Parser::Msgpack => self.msgpack(PacketType::Event, namespace, id, payload),
            Parser::Application => self.messages(payload),
            Parser::Json | Parser::None => self.text(namespace, payload, |out| {
                codec::encode_event(out, namespace, id, payload.text(), payload.attachments().len());
            }),
        }
    }

    /// The ack of an event.
    pub(crate) fn ack(self, namespace: &str, id: u64, payload: &Payload) -> Encoded {
        match self.parser {
            Parser::Msgpack => self.msgpack(PacketType::Ack, namespace, Some(id), payload),
            Parser::Application => self.messages(payload),
            Parser::Json | Parser::None => self.text(namespace, payload, |out| {
                codec::encode_ack(out, namespace, id, payload.text(), payload.attachments().len());
            }),
        }
    }

    /// The packet that lets a client in; `data` is the object with its socket's id.
    pub(crate) fn connect(self, namespace: &str, data: String) -> Encoded {
        let payload = Payload::new(data, Vec::new());
        match self.parser {
            Parser::Msgpack => self.msgpack(PacketType::Connect, namespace, None, &payload),
            Parser::Json | Parser::Application | Parser::None => self.text(namespace, &payload, |out| {
                codec::encode_connect(out, self.revision(), namespace, payload.text());
            }),
        }
    }

    /// The packet that keeps a client out; `data` is JSON text.
    pub(crate) fn connect_error(self, namespace: &str, data: String) -> Encoded {
        let payload = Payload::new(data, Vec::new());
        match self.parser {
            Parser::Msgpack => self.msgpack(PacketType::ConnectError, namespace, None, &payload),
            Parser::Json | Parser::Application | Parser::None => self.text(namespace, &payload, |out| {
                codec::encode_connect_error(out, namespace, payload.text());
            }),
        }
    }

    /// The packet that puts a client out of a namespace.
    pub(crate) fn disconnect(self, namespace: &str) -> Encoded {
        let payload = Payload::default();
        match self.parser {
            Parser::Msgpack => self.msgpack(PacketType::Disconnect, namespace, None, &payload),
            Parser::Json | Parser::Application | Parser::None => {
                self.text(namespace, &payload, |out| codec::encode_disconnect(out, namespace))
            }
        }
    }

    /// A packet that the application has encoded.
    fn messages(self, payload: &Payload) -> Encoded {
        let mut frames =
            payload.encoded_messages().map(|(is_text, bytes)| match std::str::from_utf8(bytes) {
                Ok(text) if is_text => Frame::message_text(text),
                _ => Frame::binary(self.protocol, bytes),
            });
        let head = frames.next().unwrap_or_else(|| Frame::control(ControlPacket::Noop));
        Encoded { head, attachments: frames.collect() }
    }

    /// The Socket.IO revision that goes with the Engine.IO revision.
    pub(crate) fn revision(self) -> Revision {
        match self.protocol {
            Protocol::V3 => Revision::V4,
            Protocol::V4 => Revision::V5,
        }
    }

    fn text(self, namespace: &str, payload: &Payload, write: impl FnOnce(&mut String)) -> Encoded {
        let head = Frame::text(payload.text().len() + namespace.len() + OVERHEAD, |out| {
            out.push(char::from(EnginePacketType::Message.digit()));
            write(out);
        });
        let attachments =
            payload.attachments().iter().map(|bytes| Frame::binary(self.protocol, bytes)).collect();
        Encoded { head, attachments }
    }

    /// A packet in the MessagePack form, where attachments are inline.
    fn msgpack(self, kind: PacketType, namespace: &str, id: Option<u64>, payload: &Payload) -> Encoded {
        let data = (!payload.is_empty()).then(|| payload.text());
        let encoded = codec::msgpack::encode(kind, namespace, id, data, payload.attachments());
        let bytes = encoded.unwrap_or_else(|error| {
            // The host's own value, with a stray placeholder for instance: it cannot be sent, and must not end anything.
            tracing::error!(%namespace, %error, "packet cannot be written as MessagePack");
            Vec::new()
        });
        Frame::binary(self.protocol, &bytes).into()
    }
}
