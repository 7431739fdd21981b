//! Broadcasts: one client asks, and every member of its group must receive the event exactly once.

use std::collections::HashMap;
use std::time::Instant;

use crate::Result;
use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::packet::{self, FIRST_NUMBER, next_number, unexpected};
use crate::run::{PATIENCE, Workload};
use crate::tally::Tally;

/// Groups of sockets whose first member asks for broadcasts to all of them. A unit is one delivery.
pub(crate) struct Fanout {
    groups: Vec<Group>,
    /// The group of a connection and its place in it.
    place_of: HashMap<ConnectionId, (usize, usize)>,
    /// Broadcasts under way in each group.
    n_outstanding: usize,
    /// What follows the number in every event.
    tail: String,
    next_number: u32,
    is_stopped: bool,
    tally: Tally,
}

struct Group {
    sender: ConnectionId,
    n_members: usize,
    /// The request up to the data.
    request: String,
    broadcasts: Vec<Broadcast>,
}

/// A broadcast under way.
struct Broadcast {
    number: u32,
    sent: Instant,
    /// The members that have received it.
    received: Vec<bool>,
    n_received: usize,
}

/// Members of a room.
const ROOM_SIZE: usize = 10;

/// Broadcasts to all that are under way together, so that the server never waits for the clients.
const N_OUTSTANDING: usize = 4;

/// How an event begins, up to the number.
const NEWS: &[u8] = br#"42["news",{"n":"#;

impl Fanout {
    /// One group of all.
    pub(crate) fn to_all(connections: &[ConnectionId], length: usize) -> Self {
        let n_members = connections.len();
        let request = |_| r#"42["broadcast","#.to_owned();
        Self::new(connections, n_members, N_OUTSTANDING, length, request)
    }

    /// The groups of [`join_rooms`], one request under way in each.
    pub(crate) fn to_rooms(connections: &[ConnectionId], length: usize) -> Self {
        Self::new(connections, ROOM_SIZE, 1, length, |room| format!(r#"42["to","room{room}","#))
    }

    fn new(
        connections: &[ConnectionId],
        size: usize,
        n_outstanding: usize,
        length: usize,
        request: impl Fn(usize) -> String,
    ) -> Self {
        let data = packet::data(FIRST_NUMBER, length);
        let tail = data[data.find(',').unwrap_or_default()..].to_owned() + "]";
        let mut fanout = Self {
            groups: Vec::new(),
            place_of: HashMap::with_capacity(connections.len()),
            n_outstanding,
            tail,
            next_number: FIRST_NUMBER,
            is_stopped: false,
            tally: Tally::default(),
        };
        for (idx, members) in connections.chunks(size).enumerate() {
            let places = members.iter().enumerate().map(|(place, &connection)| (connection, (idx, place)));
            fanout.place_of.extend(places);
            let (sender, n_members, request) = (members[0], members.len(), request(idx));
            fanout.groups.push(Group { sender, n_members, request, broadcasts: Vec::new() });
        }
        fanout
    }

    fn ask(&mut self, network: &mut Network, group: usize) -> Result<()> {
        let number = self.next_number;
        self.next_number = next_number(number);
        let group = &mut self.groups[group];
        let received = vec![false; group.n_members];
        group.broadcasts.push(Broadcast { number, sent: network.now, received, n_received: 0 });
        let message = format!(r#"{}{{"n":{number}{}"#, group.request, self.tail);
        network.send(group.sender, message.as_bytes())
    }
}

impl Client for Fanout {
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()> {
        let Incoming::Message(message) = incoming else {
            return Err("the server closed a connection".into());
        };
        let (group_idx, place) = self.place_of[&from];
        let group = &mut self.groups[group_idx];
        let digits = message.strip_prefix(NEWS).and_then(|rest| rest.strip_suffix(self.tail.as_bytes()));
        let number: u32 = std::str::from_utf8(digits.ok_or_else(|| unexpected(message))?)?.parse()?;
        let idx = group.broadcasts.iter().position(|one| one.number == number && !one.received[place]);
        let idx = idx.ok_or_else(|| unexpected(message))?;

        let broadcast = &mut group.broadcasts[idx];
        broadcast.received[place] = true;
        broadcast.n_received += 1;
        self.tally.count(1);
        if broadcast.n_received < group.n_members {
            return Ok(());
        }
        let sent = group.broadcasts.remove(idx).sent;
        self.tally.took(sent, network.now);
        if self.is_stopped { Ok(()) } else { self.ask(network, group_idx) }
    }
}

impl Workload for Fanout {
    fn start(&mut self, network: &mut Network) -> Result<()> {
        for group in 0..self.groups.len() {
            for _ in 0..self.n_outstanding {
                self.ask(network, group)?;
            }
        }
        Ok(())
    }

    fn stop(&mut self, _network: &mut Network) -> Result<()> {
        self.is_stopped = true;
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.groups.iter().all(|group| group.broadcasts.is_empty())
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// Puts the sockets into rooms of ten, in their order, and waits until the server has confirmed it.
pub(crate) fn join_rooms(network: &mut Network, connections: &[ConnectionId]) -> Result<()> {
    for (room, members) in connections.chunks(ROOM_SIZE).enumerate() {
        for &member in members {
            network.send(member, format!(r#"42{FIRST_NUMBER}["join","room{room}"]"#).as_bytes())?;
        }
    }
    let mut joining = Joining { n_waiting: connections.len() };
    network.drive(&mut joining, PATIENCE, |joining, _| Ok(joining.n_waiting > 0))
}

struct Joining {
    n_waiting: usize,
}

impl Client for Joining {
    fn incoming(
        &mut self,
        _network: &mut Network,
        _from: ConnectionId,
        incoming: Incoming<'_>,
    ) -> Result<()> {
        let Incoming::Message(message) = incoming else {
            return Err("the server closed a connection".into());
        };
        let (id, _) = packet::ack(message)?;
        if id != FIRST_NUMBER {
            return Err(unexpected(message).into());
        }
        self.n_waiting -= 1;
        Ok(())
    }
}
