//! Visits as the official client makes them: a polling handshake, the namespace, the upgrade to WebSocket, one echo.

use std::collections::HashMap;
use std::time::Instant;

use crate::http::Response;
use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::packet::{self, FIRST_NUMBER, unexpected};
use crate::payload::{POLLING_PATH, body, confirm_post, packets, session_query};
use crate::run::Workload;
use crate::socket::WEBSOCKET_PATH;
use crate::tally::Tally;
use crate::{Result, http};

/// Visitors that come again when the server has closed the connection they left.
///
/// The latency is the time from the first connection until the echo has come back over WebSocket.
pub(crate) struct Upgrade {
    n_visitors: usize,
    n_visits: u64,
    /// By number, because the ids of a visit's closed connections are used again while it lasts.
    visits: HashMap<u64, Visit>,
    visit_of: HashMap<ConnectionId, u64>,
    is_stopped: bool,
    tally: Tally,
}

#[expect(clippy::struct_excessive_bools, reason = "four facts that come true in any order")]
struct Visit {
    poll: ConnectionId,
    post: Option<ConnectionId>,
    websocket: Option<ConnectionId>,
    session_query: String,
    began: Instant,
    is_posting: bool,
    owes_pong: bool,
    is_probed: bool,
    /// Whether the last poll before the switch is answered.
    is_poll_over: bool,
}

const ECHO_DATA: &str = r#"{"upgraded":true}"#;

impl Upgrade {
    pub(crate) fn new(n_visitors: usize) -> Self {
        let (visits, visit_of) = (HashMap::new(), HashMap::new());
        Self { n_visitors, n_visits: 0, visits, visit_of, is_stopped: false, tally: Tally::default() }
    }

    fn begin(&mut self, network: &mut Network) -> Result<()> {
        let poll = network.connect()?;
        http::get(network.outgoing(poll)?, POLLING_PATH);
        let visit = Visit {
            poll,
            post: None,
            websocket: None,
            session_query: String::new(),
            began: Instant::now(),
            is_posting: false,
            owes_pong: false,
            is_probed: false,
            is_poll_over: false,
        };
        self.n_visits += 1;
        self.visits.insert(self.n_visits, visit);
        self.visit_of.insert(poll, self.n_visits);
        Ok(())
    }

    /// The server has closed the WebSocket that the visitor left.
    fn end(&mut self, network: &mut Network, visit: u64) -> Result<()> {
        self.visits.remove(&visit);
        self.tally.count(1);
        if self.is_stopped { Ok(()) } else { self.begin(network) }
    }
}

impl Visit {
    /// Handles a response and says which connection was opened because of it.
    fn response(
        &mut self,
        network: &mut Network,
        from: ConnectionId,
        response: &Response<'_>,
    ) -> Result<Option<ConnectionId>> {
        if Some(from) == self.post {
            confirm_post(response)?;
            self.is_posting = false;
            self.switch_when_ready(network)?;
            return Ok(None);
        }
        let payload = body(response)?;
        if self.session_query.is_empty() {
            self.session_query = session_query(payload)?;
            self.poll_again(network)?;
            self.post = Some(network.connect()?);
            self.post(network, b"40")?;
            return Ok(self.post);
        }
        let mut opened = None;
        for packet in packets(payload) {
            match packet {
                b"6" => self.is_poll_over = true,
                b"2" => self.owes_pong = true,
                _ if packet.starts_with(b"40{") => {
                    let path = format!("{WEBSOCKET_PATH}{}", self.session_query);
                    self.websocket = Some(network.connect_websocket(&path)?);
                    opened = self.websocket;
                }
                _ => return Err(unexpected(packet).into()),
            }
        }
        if self.is_poll_over {
            self.switch_when_ready(network)?;
        } else {
            self.poll_again(network)?;
        }
        if self.owes_pong && !self.is_posting {
            self.owes_pong = false;
            self.post(network, b"3")?;
        }
        Ok(opened)
    }

    fn poll_again(&self, network: &mut Network) -> Result<()> {
        http::get(network.outgoing(self.poll)?, &format!("{POLLING_PATH}{}", self.session_query));
        Ok(())
    }

    fn post(&mut self, network: &mut Network, packet: &[u8]) -> Result<()> {
        self.is_posting = true;
        let connection = self.post.ok_or("posting after the switch")?;
        http::post(network.outgoing(connection)?, &format!("{POLLING_PATH}{}", self.session_query), packet);
        Ok(())
    }

    /// Leaves polling once the probe, the last poll and the last post are answered.
    fn switch_when_ready(&mut self, network: &mut Network) -> Result<()> {
        if !self.is_probed || !self.is_poll_over || self.is_posting {
            return Ok(());
        }
        network.close(self.poll);
        if let Some(post) = self.post.take() {
            network.close(post);
        }
        let websocket = self.websocket.ok_or("no WebSocket to switch to")?;
        network.send(websocket, b"5")?;
        if std::mem::take(&mut self.owes_pong) {
            network.send(websocket, b"3")?;
        }
        network.send(websocket, format!(r#"42{FIRST_NUMBER}["echo",{ECHO_DATA}]"#).as_bytes())
    }

    /// Handles a message over WebSocket and says whether it was the echo, the last step of the visit.
    fn message(&mut self, network: &mut Network, message: &[u8]) -> Result<bool> {
        if message == b"3probe" {
            self.is_probed = true;
            self.switch_when_ready(network)?;
            return Ok(false);
        }
        let (id, arguments) = packet::ack(message)?;
        let is_right = id == FIRST_NUMBER && arguments == format!("[{ECHO_DATA}]").as_bytes();
        if is_right { Ok(true) } else { Err(unexpected(message).into()) }
    }
}

impl Client for Upgrade {
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()> {
        let key = self.visit_of[&from];
        let visit = self.visits.get_mut(&key).ok_or("something came after the end of a visit")?;
        match incoming {
            Incoming::Response(response) => {
                let opened = visit.response(network, from, &response)?;
                self.visit_of.extend(opened.map(|connection| (connection, key)));
                Ok(())
            }
            Incoming::Upgraded => network.send(from, b"2probe"),
            Incoming::Message(message) => {
                if visit.message(network, message)? {
                    self.tally.took(visit.began, network.now);
                    network.disconnect(from)?;
                }
                Ok(())
            }
            Incoming::Closed if Some(from) == visit.websocket => self.end(network, key),
            Incoming::Closed => Err("the server closed a polling connection".into()),
        }
    }
}

impl Workload for Upgrade {
    fn start(&mut self, network: &mut Network) -> Result<()> {
        for _ in 0..self.n_visitors {
            self.begin(network)?;
        }
        Ok(())
    }

    fn stop(&mut self, _network: &mut Network) -> Result<()> {
        self.is_stopped = true;
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.visits.is_empty()
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
