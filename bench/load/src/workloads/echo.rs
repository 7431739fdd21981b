//! Events with an acknowledgement that must bring the same data back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::Result;
use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::packet::{self, FIRST_NUMBER, next_number, unexpected};
use crate::run::Workload;
use crate::tally::Tally;

/// Each socket asks again as soon as it is answered, or all of them ask at a fixed rate.
pub(crate) struct Echo {
    sockets: Vec<EchoSocket>,
    socket_of: HashMap<ConnectionId, usize>,
    pace: Pace,
    tally: Tally,
}

enum Pace {
    Saturating,
    /// The socket whose turn it is.
    Fixed(usize),
    Stopped,
}

struct EchoSocket {
    connection: ConnectionId,
    next_id: u32,
    requests: Vec<Request>,
}

/// One of the requests that a socket may have under way. Its data is its own, so that no answer fits another.
struct Request {
    data: String,
    /// The ack id and the time of sending, while it is under way.
    under_way: Option<(u32, Instant)>,
}

/// Far below what every server can do, so that most events find the server asleep.
const RATE: u32 = 4000;

impl Echo {
    /// Keeps `n_outstanding` requests under way on each socket.
    pub(crate) fn saturating(connections: Vec<ConnectionId>, n_outstanding: usize, length: usize) -> Self {
        Self::new(connections, n_outstanding, length, Pace::Saturating)
    }

    /// Sends at [`RATE`], each time on the next socket.
    pub(crate) fn paced(connections: Vec<ConnectionId>, length: usize) -> Self {
        Self::new(connections, 1, length, Pace::Fixed(0))
    }

    fn new(connections: Vec<ConnectionId>, n_outstanding: usize, length: usize, pace: Pace) -> Self {
        let socket_of =
            connections.iter().enumerate().map(|(socket, &connection)| (connection, socket)).collect();
        let mut number = FIRST_NUMBER;
        let mut request = || {
            number += 1;
            Request { data: packet::data(number, length), under_way: None }
        };
        let mut socket = |connection| {
            let requests = (0..n_outstanding).map(|_| request()).collect();
            EchoSocket { connection, next_id: FIRST_NUMBER, requests }
        };
        let sockets = connections.into_iter().map(&mut socket).collect();
        Self { sockets, socket_of, pace, tally: Tally::default() }
    }
}

impl EchoSocket {
    fn ask(&mut self, network: &mut Network, request: usize) -> Result<()> {
        let id = self.next_id;
        self.next_id = next_number(id);
        let Request { data, under_way } = &mut self.requests[request];
        *under_way = Some((id, network.now));
        network.send(self.connection, format!(r#"42{id}["echo",{data}]"#).as_bytes())
    }

    /// Checks an answer and says which request it answers, and when that was sent.
    fn answer(&mut self, message: &[u8]) -> Result<(usize, Instant)> {
        let (id, arguments) = packet::ack(message)?;
        let data = arguments.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        for (idx, request) in self.requests.iter_mut().enumerate() {
            if let Some((_, sent)) = request.under_way.take_if(|(asked, _)| *asked == id) {
                let is_right = data == Some(request.data.as_bytes());
                return if is_right { Ok((idx, sent)) } else { Err(unexpected(message).into()) };
            }
        }
        Err(unexpected(message).into())
    }
}

impl Client for Echo {
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()> {
        let Incoming::Message(message) = incoming else {
            return Err("the server closed a connection".into());
        };
        let socket = &mut self.sockets[self.socket_of[&from]];
        let (request, sent) = socket.answer(message)?;
        self.tally.count(1);
        self.tally.took(sent, network.now);
        if matches!(self.pace, Pace::Saturating) { socket.ask(network, request) } else { Ok(()) }
    }

    fn tick(&mut self, network: &mut Network, n_ticks: u64) -> Result<()> {
        let Pace::Fixed(turn) = &mut self.pace else { return Ok(()) };
        for _ in 0..n_ticks {
            let n_sockets = self.sockets.len();
            let socket = &mut self.sockets[*turn];
            *turn = (*turn + 1) % n_sockets;
            // A server that falls behind is asked less often, which the report's rate shows.
            if socket.requests[0].under_way.is_none() {
                socket.ask(network, 0)?;
            }
        }
        Ok(())
    }
}

impl Workload for Echo {
    fn start(&mut self, network: &mut Network) -> Result<()> {
        if matches!(self.pace, Pace::Fixed(_)) {
            return network.tick_every(Duration::from_secs(1) / RATE);
        }
        for socket in &mut self.sockets {
            for request in 0..socket.requests.len() {
                socket.ask(network, request)?;
            }
        }
        Ok(())
    }

    fn stop(&mut self, _network: &mut Network) -> Result<()> {
        self.pace = Pace::Stopped;
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.sockets.iter().all(|socket| socket.requests.iter().all(|request| request.under_way.is_none()))
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
