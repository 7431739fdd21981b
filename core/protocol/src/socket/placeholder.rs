//! Recognizes the objects that stand for attachments in JSON: `{"_placeholder":true,"num":0}`.
//!
//! See <https://socket.io/docs/v4/socket-io-protocol/#sending-and-receiving-binary-data>.

use crate::json::{Literal, RawString};

/// Follows a scan, and says at the end of each object what it means.
///
/// Each attachment may be used once. Official encoders never share one, and a peer that could would make a
/// megabyte stand in ten thousand places.
pub(super) struct Placeholders {
    is_used: Vec<bool>,
    open: Vec<Object>,
    key: Key,
}

/// What an object turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An ordinary object.
    Object,
    /// It stands for the attachment with this number.
    Attachment(usize),
    /// It says that it stands for an attachment, but there is none of this number left.
    IllegalPlaceholder,
}

/// What the members seen so far say. Of two members with one key the later counts, as in `JSON.parse`.
#[derive(Default)]
struct Object {
    is_placeholder: bool,
    number: Option<usize>,
}

#[derive(Clone, Copy)]
enum Key {
    Placeholder,
    Number,
    Other,
}

impl Placeholders {
    pub(super) fn new(n_attachments: usize) -> Self {
        Self { is_used: vec![false; n_attachments], open: Vec::new(), key: Key::Other }
    }

    pub(super) fn begin_object(&mut self) {
        self.other_value();
        self.open.push(Object::default());
    }

    pub(super) fn end_object(&mut self) -> Meaning {
        let Some(Object { is_placeholder: true, number }) = self.open.pop() else { return Meaning::Object };
        let Some(number) = number else { return Meaning::IllegalPlaceholder };
        match self.is_used.get_mut(number) {
            Some(is_used) if !*is_used => {
                *is_used = true;
                Meaning::Attachment(number)
            }
            _ => Meaning::IllegalPlaceholder,
        }
    }

    pub(super) fn key(&mut self, key: RawString<'_>) {
        self.key = match &*key.unescape() {
            "_placeholder" => Key::Placeholder,
            "num" => Key::Number,
            _ => Key::Other,
        };
    }

    pub(super) fn literal(&mut self, literal: Literal) {
        self.value(literal == Literal::True, None);
    }

    /// Only plain digits count: a host might take `1.0` or `-0` for no index.
    pub(super) fn number(&mut self, number: &str) {
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        self.value(false, if is_plain { number.parse().ok() } else { None });
    }

    /// Takes note of an array or a string.
    pub(super) fn other_value(&mut self) {
        self.value(false, None);
    }

    /// A key counts for one value only: the elements of an array after it have none.
    fn value(&mut self, is_true: bool, number: Option<usize>) {
        let key = std::mem::replace(&mut self.key, Key::Other);
        match (key, self.open.last_mut()) {
            (Key::Placeholder, Some(object)) => object.is_placeholder = is_true,
            (Key::Number, Some(object)) => object.number = number,
            _ => {}
        }
    }
}
