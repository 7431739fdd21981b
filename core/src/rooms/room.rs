//! The key of a room.

use std::{fmt, sync::Arc};

use ahash::HashMap;

/// Names a room. Rooms of different kinds are different, whatever they look like: a client that chooses a room by a
/// text enters none that the application keeps under another value.
///
/// Texts and numbers mean the same in every language and on every node of a cluster. Anything else that a language
/// accepts as a room is its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Room {
    /// A text. A socket's own room is always one.
    Text(Arc<str>),
    /// A number.
    Number(RoomNumber),
    /// Another value of the host's language, in a form that only the host reads.
    Other(Arc<[u8]>),
}

impl Room {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Other(_) => None,
        }
    }

    /// Bytes that it takes to keep the room's name.
    pub(crate) fn weight(&self) -> usize {
        let outside = match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => 0,
            Self::Other(bytes) => bytes.len(),
        };
        size_of::<Self>() + outside
    }
}

impl<T: Into<Arc<str>>> From<T> for Room {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl From<RoomNumber> for Room {
    fn from(number: RoomNumber) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{}", number.value()),
            Self::Other(bytes) => write!(f, "{bytes:02x?}"),
        }
    }
}

/// A number that names a room. Zero has no sign and there is one NaN, as for the keys of a JavaScript `Map`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoomNumber(u64);

impl RoomNumber {
    /// The room of this number.
    pub fn new(value: f64) -> Self {
        let one_of_its_kind = if value.is_nan() {
            f64::NAN
        } else if value == 0.0 {
            0.0
        } else {
            value
        };
        Self(one_of_its_kind.to_bits())
    }

    /// The number.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl fmt::Debug for RoomNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.value())
    }
}

/// Rooms for values that only the host can tell apart, objects by their identity for one. The host numbers such
/// values, and asks from time to time which of them nobody needs any more.
///
/// It holds as many rooms as the host has numbered since it last took the unused ones.
#[derive(Debug, Default)]
pub struct NumberedRooms {
    rooms: HashMap<u64, Arc<[u8]>>,
}

impl NumberedRooms {
    /// The room of this number.
    pub fn room(&mut self, number: u64) -> Room {
        let bytes = self.rooms.entry(number).or_insert_with(|| Arc::from(number.to_le_bytes()));
        Room::Other(bytes.clone())
    }

    /// The number of a room made here.
    pub fn number(room: &[u8]) -> Option<u64> {
        room.try_into().ok().map(u64::from_le_bytes)
    }

    /// Forgets the rooms that are kept nowhere else, and returns their numbers.
    pub fn take_unused(&mut self) -> Vec<u64> {
        let mut unused = Vec::new();
        self.rooms.retain(|number, bytes| {
            let is_used = Arc::strong_count(bytes) > 1;
            if !is_used {
                unused.push(*number);
            }
            is_used
        });
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_apart_and_numbers_have_one_form_each() {
        let number = |value| Room::from(RoomNumber::new(value));
        assert_ne!(Room::from("42"), number(42.0));
        assert_eq!(number(-0.0), number(0.0));
        assert_eq!(number(-f64::NAN), number(f64::NAN));
        assert_ne!(number(1.0), number(1.5));
        assert_ne!(Room::from("42"), Room::Other(Arc::from(*b"42")));
    }

    #[test]
    fn a_numbered_room_is_unused_once_nobody_else_holds_it() {
        let mut rooms = NumberedRooms::default();
        let held = rooms.room(1);
        drop(rooms.room(2));
        assert_eq!(rooms.room(1), held);
        assert_eq!(rooms.take_unused(), [2]);
        assert_eq!(rooms.take_unused(), [0; 0]);
        let Room::Other(bytes) = &held else { panic!("of the host's own") };
        assert_eq!(NumberedRooms::number(bytes), Some(1));
        drop(held);
        assert_eq!(rooms.take_unused(), [1]);
    }
}
