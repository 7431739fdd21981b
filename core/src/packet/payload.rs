//! The arguments of an event or ack, still encoded.

use std::sync::Arc;

use bytes::Bytes;
use ferrio_engine::Message;

/// What stands in the text of an encoded packet for each of its messages.
const TEXT: char = 't';
const BINARY: char = 'b';

/// The arguments of an event or ack as they travel: a JSON array and the binary values cut out of it.
///
/// Where a binary value stood, the text holds `{"_placeholder":true,"num":N}`, N being its index in
/// [`attachments`](Self::attachments), as in
/// [the protocol](https://github.com/socketio/socket.io-protocol#sending-and-receiving-data). An event's payload starts
/// with its name; the payload of a CONNECT packet is an object.
///
/// A payload that came from a peer is well-formed JSON, its depth is bounded and its placeholders are whole.
/// The core never decodes it: the host does, with its own language's values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    text: Arc<str>,
    attachments: Vec<Bytes>,
}

impl Payload {
    /// Makes a payload from JSON text that the caller vouches for.
    pub fn new(text: impl Into<Arc<str>>, attachments: Vec<Bytes>) -> Self {
        Self { text: text.into(), attachments }
    }

    /// Makes the payload of a packet that the application has encoded, for [`Parser::Application`](crate::Parser): its
    /// messages in order. It must have one at least.
    pub fn encoded(messages: impl IntoIterator<Item = Message>) -> Self {
        let mut kinds = String::new();
        let bytes = messages.into_iter().map(|message| match message {
            Message::Text(text) => {
                kinds.push(TEXT);
                Bytes::copy_from_slice(text.as_bytes())
            }
            Message::Binary(bytes) => {
                kinds.push(BINARY);
                bytes
            }
        });
        let attachments = bytes.collect();
        Self::new(kinds, attachments)
    }

    /// The messages of a packet that the application has encoded, each with whether it is text.
    pub(crate) fn encoded_messages(&self) -> impl Iterator<Item = (bool, &Bytes)> {
        self.text.chars().map(|kind| kind == TEXT).zip(&self.attachments)
    }

    /// Makes an event's payload from its name and its arguments, each JSON text.
    pub fn event<'a>(name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = String::from("[");
        text.push_str(&serde_json::Value::from(name).to_string());
        for argument in arguments {
            text.push(',');
            text.push_str(argument);
        }
        text.push(']');
        Self::new(text, Vec::new())
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The binary values, in the order of their placeholders' numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Whether there is no text at all, as in a CONNECT packet without authentication data.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Bytes of text and attachments together.
    pub fn len(&self) -> usize {
        self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// The values of the JSON array, decoded, for callers that work with [`serde_json`].
    ///
    /// # Errors
    /// When the payload is not an array, or nested deeper than `serde_json` reads.
    pub fn values(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        serde_json::from_str(&self.text)
    }
}
