//! The names by which rooms are known outside of their process, whatever its language.
//!
//! Within a process a [`Room`] is a text, a number, or a value of the host's language. Nodes of a cluster tell each other
//! of rooms by name, and their languages must mean the same by it:
//!
//! | room | JavaScript | Python | name |
//! |---|---|---|---|
//! | text | `"a"` | `"a"` | itself, with one more NUL before it if it begins with one |
//! | number | `1` | `1`, `1.0`, `True`, `Decimal(1)` | NUL, `number:`, and the shortest digits that mean it |
//! | other | objects, `true`, `1n` | tuples, objects, integers that no float holds | none |
//!
//! In Python whatever equals a number is the same key of a dictionary, so it is the same room. In JavaScript `true` and
//! `1n` are other keys of a `Map` than `1`, so they are other rooms, and none of Python's. Values that only their own
//! process can tell apart have no name: such a room is one of its node alone.

use std::borrow::Cow;

use ferrio::{Room, RoomNumber};

/// Before the names of rooms that are no texts.
const MARK: char = '\0';

const NUMBER: &str = "number:";

/// The name of a room for other processes; `None` where it means nothing to them.
pub fn room_name(room: &Room) -> Option<Cow<'_, str>> {
    match room {
        Room::Text(text) if text.starts_with(MARK) => Some(Cow::Owned(format!("{MARK}{text}"))),
        Room::Text(text) => Some(Cow::Borrowed(text)),
        Room::Number(number) => Some(Cow::Owned(format!("{MARK}{NUMBER}{}", number.value()))),
        Room::Other(_) => None,
    }
}

/// The room of a name; `None` where no room has it.
pub fn named_room(name: &str) -> Option<Room> {
    let Some(marked) = name.strip_prefix(MARK) else { return Some(Room::from(name)) };
    if marked.starts_with(MARK) {
        return Some(Room::from(marked));
    }
    let room = Room::from(RoomNumber::new(marked.strip_prefix(NUMBER)?.parse().ok()?));
    // A number has one name only: rooms must be the same exactly where their names are.
    (room_name(&room)? == name).then_some(room)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use super::*;

    fn number(value: f64) -> Room {
        RoomNumber::new(value).into()
    }

    #[test]
    fn rooms_come_back_by_their_names_and_no_two_have_the_same() {
        let texts = ["", "a", "\0", "\0\0", "\0number:1", "\0\0number:1", "number:1", "1", "\u{fffd}"];
        let numbers = [0.0, 1.0, -1.5, 0.1, 9_007_199_254_740_992.0, 5e-324, 1e21, f64::MAX];
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let rooms: Vec<_> =
            texts.map(Room::from).into_iter().chain(numbers.into_iter().chain(odd).map(number)).collect();
        let names: Vec<_> = rooms.iter().map(|room| room_name(room).unwrap().into_owned()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), rooms.len());
        for (room, name) in rooms.iter().zip(&names) {
            assert_eq!(named_room(name).as_ref(), Some(room), "{name:?}");
        }
    }

    #[test]
    fn one_number_has_one_name() {
        assert_eq!(room_name(&number(1.0)).as_deref(), Some("\0number:1"));
        assert_eq!(room_name(&number(-0.0)), room_name(&number(0.0)));
        assert_eq!(room_name(&number(-f64::NAN)), room_name(&number(f64::NAN)));
        for name in
            ["\0number:1.0", "\0number:01", "\0number:-0", "\0number:", "\0number:x", "\0other:1", "\0"]
        {
            assert_eq!(named_room(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_value_that_only_one_process_knows_has_no_name() {
        assert_eq!(room_name(&Room::Other(Arc::from(*b"anything"))), None);
    }
}
