//! Rooms as `room.ts` writes and reads them.

use std::{fmt, fmt::Write as _, sync::Arc};

use ferrio::{NumberedRooms, Room, RoomNumber};
use napi::Result;
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use crate::{error::misuse, value};

/// Reads a JSON list of rooms.
pub(crate) fn read_list(known: &mut NumberedRooms, text: &str) -> Result<Vec<Room>> {
    let rooms: Vec<Written> = serde_json::from_str(text).map_err(|_| misuse("rooms are no list"))?;
    Ok(rooms.into_iter().map(|room| room.named(known)).collect())
}

/// Reads the JSON text of one room.
pub(crate) fn read(known: &mut NumberedRooms, text: &str) -> Result<Room> {
    let room: Written = serde_json::from_str(text).map_err(|_| misuse("a room cannot be read"))?;
    Ok(room.named(known))
}

/// Appends a room as JSON.
pub(crate) fn push_json(out: &mut String, room: &Room) {
    // Writing to a String never fails.
    let _ = match room {
        Room::Text(text) => {
            value::push_json(out, text);
            Ok(())
        }
        Room::Number(number) => match number.value() {
            f64::INFINITY => write!(out, r#"["Infinity"]"#),
            f64::NEG_INFINITY => write!(out, r#"["-Infinity"]"#),
            value => write!(out, r#"["{value}"]"#),
        },
        Room::Other(bytes) => write!(out, "{}", NumberedRooms::number(bytes).unwrap_or_default()),
    };
}

/// A room as it is written, its other values still being numbers.
enum Written {
    Text(Arc<str>),
    Number(RoomNumber),
    Other(u64),
}

impl Written {
    fn named(self, known: &mut NumberedRooms) -> Room {
        match self {
            Self::Text(text) => Room::Text(text),
            Self::Number(number) => Room::Number(number),
            Self::Other(number) => known.room(number),
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number's digits in a list, or the number of another value")
    }

    fn visit_str<E: Error>(self, text: &str) -> std::result::Result<Written, E> {
        Ok(Written::Text(Arc::from(text)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> std::result::Result<Written, E> {
        Ok(Written::Other(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Written, A::Error> {
        let digits: String = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let value: f64 = digits.parse().map_err(A::Error::custom)?;
        Ok(Written::Number(RoomNumber::new(value)))
    }
}
