//! The rooms of one socket.

use ahash::HashMap;
use smallvec::SmallVec;

use crate::rooms::room::Room;

/// Up to this many rooms are looked through one by one, which is as quick as a map and takes no more than their place.
const FEW: usize = 16;

/// A set of rooms that remembers the order in which they were joined. Clients often choose how many there are, so
/// nothing here takes longer the more there are, but for listing them.
#[derive(Debug, Clone)]
pub(crate) enum RoomSet {
    Few(SmallVec<[Room; 2]>),
    Many(Box<Many>),
}

/// Each room with its place in the order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Many {
    places: HashMap<Room, u64>,
    next: u64,
}

impl Many {
    fn insert(&mut self, room: Room) {
        self.places.insert(room, self.next);
        self.next += 1;
    }
}

impl Default for RoomSet {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl RoomSet {
    pub(crate) fn contains(&self, room: &Room) -> bool {
        match self {
            Self::Few(rooms) => rooms.contains(room),
            Self::Many(many) => many.places.contains_key(room),
        }
    }

    /// Adds a room. Returns whether it was not there.
    pub(crate) fn insert(&mut self, room: Room) -> bool {
        if self.contains(&room) {
            return false;
        }
        match self {
            Self::Few(rooms) if rooms.len() < FEW => rooms.push(room),
            Self::Few(rooms) => {
                let mut many = Box::new(Many::default());
                std::mem::take(rooms).into_iter().for_each(|room| many.insert(room));
                many.insert(room);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.insert(room),
        }
        true
    }

    /// Takes a room out. Returns whether it was there.
    pub(crate) fn remove(&mut self, room: &Room) -> bool {
        match self {
            Self::Few(rooms) => {
                let place = rooms.iter().position(|joined| joined == room);
                place.map(|place| rooms.remove(place)).is_some()
            }
            Self::Many(many) => {
                let was_there = many.places.remove(room).is_some();
                if many.places.is_empty() {
                    *self = Self::default();
                }
                was_there
            }
        }
    }

    /// The rooms in the order in which they were joined.
    pub(crate) fn to_vec(&self) -> Vec<Room> {
        match self {
            Self::Few(rooms) => rooms.to_vec(),
            Self::Many(many) => {
                let mut rooms: Vec<_> = many.places.iter().collect();
                rooms.sort_unstable_by_key(|(_, place)| **place);
                rooms.into_iter().map(|(room, _)| room.clone()).collect()
            }
        }
    }
}

impl FromIterator<Room> for RoomSet {
    fn from_iter<T: IntoIterator<Item = Room>>(rooms: T) -> Self {
        let mut set = Self::default();
        for room in rooms {
            set.insert(room);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_keep_the_order_of_joining_however_many_there_are() {
        for n_rooms in [3, FEW, FEW + 1, 1000] {
            let mut set = RoomSet::default();
            let mut expected: Vec<Room> = (0..n_rooms).map(|number| number.to_string().into()).collect();
            for room in &expected {
                assert!(set.insert(room.clone()));
                assert!(!set.insert(room.clone()), "{room} is there");
            }
            // One of the first leaves and comes back: it is the last then.
            let again = expected.remove(1);
            assert!(set.remove(&again));
            assert!(!set.contains(&again) && !set.remove(&again));
            set.insert(again.clone());
            expected.push(again);
            assert_eq!(set.to_vec(), expected);
            for room in &expected {
                assert!(set.contains(room) && set.remove(room));
            }
            assert_eq!(set.to_vec(), []);
        }
    }
}
