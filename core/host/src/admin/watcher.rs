//! One admin client: what it is shown, as fast as it reads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
    vec,
};

use ahash::HashMap;
use ferrio::{Flags, Observed, Payload, Room, Server, Socket, Writes};

use crate::admin::{message, shared::Shared};

/// While so much waits for a client, it is listed no more sockets.
const LOW_WATER: usize = 256 << 10;

/// When so much waits for it, it is shown nothing until it has read that, and then all sockets anew.
const HIGH_WATER: usize = 1 << 20;

/// So many sockets are listed in one go: some 200 KiB with the headers of a browser. Fewer, when they have so many bytes.
const PIECE: usize = 256;
const PIECE_BYTES: usize = 512 << 10;

/// A client that is not connected by then never will be.
const MAX_COMING: Duration = Duration::from_secs(60);

/// An admin client.
pub(super) struct Watcher {
    socket: Arc<Socket>,
    stage: Stage,
    /// The rooms of the sockets of which it was told since what happened was last passed on. They may have joined them just
    /// before, which then is no news.
    just_listed: HashMap<Arc<str>, Vec<Room>>,
}

/// What a client is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Who is there, and how.
    State,
    /// What somebody has sent.
    Event,
}

enum Stage {
    /// It has been let in and is not connected yet.
    Coming(Instant),
    /// It is told which sockets there are.
    Listing { rest: vec::IntoIter<Arc<Socket>>, is_begun: bool },
    /// It is shown what happens.
    Following,
    /// It has more to read than it should.
    Behind,
}

impl Watcher {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        Self { socket, stage: Stage::Coming(Instant::now()), just_listed: HashMap::default() }
    }

    /// Whether it has left.
    pub(super) fn is_gone(&self) -> bool {
        match self.stage {
            Stage::Coming(since) => since.elapsed() > MAX_COMING,
            _ => !self.socket.is_connected(),
        }
    }

    /// Whether there is something to do for it though nothing happens.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Following)
    }

    /// Goes on with what is begun. Returns the sockets that it was told of.
    pub(super) fn go_on(&mut self, shared: &Shared, writes: &mut Writes) -> Vec<Arc<Socket>> {
        match self.stage {
            Stage::Coming(_) if self.socket.is_connected() => {
                self.send(&message::config(&shared.options), writes);
                self.stage =
                    if shared.options.shows_all { listing(&shared.server) } else { Stage::Following };
            }
            Stage::Behind if self.n_waiting() <= LOW_WATER => self.list_anew(shared),
            Stage::Coming(_) | Stage::Behind | Stage::Following => return Vec::new(),
            Stage::Listing { .. } => {}
        }
        self.list_some(shared, writes)
    }

    fn list_some(&mut self, shared: &Shared, writes: &mut Writes) -> Vec<Arc<Socket>> {
        let is_ready = self.n_waiting() <= LOW_WATER;
        let Stage::Listing { rest, is_begun } = &mut self.stage else { return Vec::new() };
        if !is_ready {
            return Vec::new();
        }
        let piece = take_piece(rest, shared);
        let is_first = !std::mem::replace(is_begun, true);
        if rest.len() == 0 {
            self.stage = Stage::Following;
        }
        if is_first {
            self.send(&message::all_sockets(&piece, &shared.options, &shared.data), writes);
        } else {
            // Another list of all sockets would make the UI forget those of the first.
            for (socket, rooms) in &piece {
                let at = socket.handshake().issued;
                self.send(&message::connected(socket, rooms, at, &shared.options, &shared.data), writes);
            }
        }
        for (socket, rooms) in &piece {
            self.just_listed.insert(socket.id().clone(), rooms.clone());
        }
        piece.into_iter().map(|(socket, _)| socket).collect()
    }

    /// Tells it of all sockets, of which it has missed something.
    pub(super) fn list_anew(&mut self, shared: &Shared) {
        if shared.options.shows_all && !matches!(self.stage, Stage::Coming(_)) {
            self.stage = listing(&shared.server);
        }
    }

    /// Shows it what has happened.
    pub(super) fn show(&mut self, what: Shown, shown: &Payload, writes: &mut Writes) {
        let is_shown = match self.stage {
            Stage::Following => true,
            Stage::Listing { is_begun, .. } => is_begun && what == Shown::State,
            Stage::Coming(_) | Stage::Behind => false,
        };
        if !is_shown {
            return;
        }
        if self.n_waiting() > HIGH_WATER {
            self.stage = Stage::Behind;
            return;
        }
        self.send(shown, writes);
    }

    /// Whether it knows of a socket's room already.
    pub(super) fn knows(&self, observed: &Observed) -> bool {
        let Observed::Joined(change) = observed else { return false };
        self.just_listed.get(&change.socket).is_some_and(|rooms| rooms.contains(&change.room))
    }

    /// What had happened before it was last told of sockets is passed on.
    pub(super) fn is_up_to_date(&mut self) {
        self.just_listed = HashMap::default();
    }

    /// Sends it counters, unless it is behind.
    pub(super) fn count(&self, stats: &Payload, writes: &mut Writes) {
        if !matches!(self.stage, Stage::Coming(_) | Stage::Behind) {
            self.send(stats, writes);
        }
    }

    /// Sends it an event.
    pub(super) fn send(&self, payload: &Payload, writes: &mut Writes) {
        self.socket.emit(payload, Flags { local: true, ..Flags::default() }, writes);
    }

    fn n_waiting(&self) -> usize {
        self.socket.connection().queued_bytes()
    }
}

/// The next sockets that are connected, with their rooms.
fn take_piece(rest: &mut vec::IntoIter<Arc<Socket>>, shared: &Shared) -> Vec<(Arc<Socket>, Vec<Room>)> {
    let mut piece = Vec::new();
    let mut n_bytes = 0;
    while piece.len() < PIECE
        && n_bytes < PIECE_BYTES
        && let Some(socket) = rest.next()
    {
        if !socket.is_connected() {
            continue;
        }
        let rooms = socket.rooms();
        n_bytes += socket.handshake().head.n_bytes();
        n_bytes += rooms
            .iter()
            .map(|room| room.as_text().map_or(size_of::<Room>(), |text| text.len()))
            .sum::<usize>();
        n_bytes += shared.data.of(&socket).map_or(0, |data| data.len());
        piece.push((socket, rooms));
    }
    piece
}

fn listing(server: &Server) -> Stage {
    let sockets: Vec<_> = server.namespaces().iter().flat_map(|namespace| namespace.sockets()).collect();
    Stage::Listing { rest: sockets.into_iter(), is_begun: false }
}
