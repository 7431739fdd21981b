//! Echoes over long-polling: one connection polls, another posts, both kept alive.

use std::collections::HashMap;
use std::time::Instant;

use crate::network::{Client, ConnectionId, Incoming, Network};
use crate::packet::{self, FIRST_NUMBER, next_number, unexpected};
use crate::payload::{POLLING_PATH, body, confirm_post, packets, session_query};
use crate::run::{PATIENCE, Workload};
use crate::tally::Tally;
use crate::{Result, http};

/// Sessions that each have one request under way and poll again after each response.
pub(crate) struct Polling {
    sessions: Vec<Session>,
    session_of: HashMap<ConnectionId, usize>,
    n_connected: usize,
    is_running: bool,
    tally: Tally,
}

struct Session {
    poll: ConnectionId,
    post: ConnectionId,
    /// Of the open session; before the handshake is answered, where it is opened.
    path: String,
    stage: Stage,
    is_posting: bool,
    owes_pong: bool,
    data: String,
    next_id: u32,
    /// The ack id and the time of sending of the request under way.
    under_way: Option<(u32, Instant)>,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Opening,
    Connecting,
    Connected,
}

impl Polling {
    /// Opens `n` sessions and connects them to the namespace.
    pub(crate) fn open(network: &mut Network, n: usize, length: usize) -> Result<Self> {
        let mut polling = Self {
            sessions: Vec::with_capacity(n),
            session_of: HashMap::new(),
            n_connected: 0,
            is_running: false,
            tally: Tally::default(),
        };
        let mut number = FIRST_NUMBER;
        for idx in 0..n {
            number += 1;
            let session = Session::open(network, packet::data(number, length))?;
            polling.session_of.extend([(session.poll, idx), (session.post, idx)]);
            polling.sessions.push(session);
        }
        network.drive(&mut polling, PATIENCE, |polling, _| Ok(polling.n_connected < n))?;
        Ok(polling)
    }
}

impl Session {
    fn open(network: &mut Network, data: String) -> Result<Self> {
        let session = Self {
            poll: network.connect()?,
            post: network.connect()?,
            path: POLLING_PATH.to_owned(),
            stage: Stage::Opening,
            is_posting: false,
            owes_pong: false,
            data,
            next_id: FIRST_NUMBER,
            under_way: None,
        };
        session.poll(network)?;
        Ok(session)
    }

    fn poll(&self, network: &mut Network) -> Result<()> {
        http::get(network.outgoing(self.poll)?, &self.path);
        Ok(())
    }

    fn post(&mut self, network: &mut Network, payload: &str) -> Result<()> {
        self.is_posting = true;
        let pong = if std::mem::take(&mut self.owes_pong) { "3\u{1e}" } else { "" };
        http::post(network.outgoing(self.post)?, &self.path, format!("{pong}{payload}").as_bytes());
        Ok(())
    }

    fn ask_when_free(&mut self, network: &mut Network) -> Result<()> {
        if self.is_posting || self.under_way.is_some() {
            return Ok(());
        }
        let id = self.next_id;
        self.next_id = next_number(id);
        self.under_way = Some((id, Instant::now()));
        let event = format!(r#"42{id}["echo",{}]"#, self.data);
        self.post(network, &event)
    }

    fn opened(&mut self, network: &mut Network, open_packet: &[u8]) -> Result<()> {
        self.path += &session_query(open_packet)?;
        self.stage = Stage::Connecting;
        self.poll(network)?;
        self.post(network, "40")
    }

    /// Takes one packet and says when the request that it answers was sent.
    fn packet(&mut self, packet: &[u8]) -> Result<Option<Instant>> {
        match packet {
            b"2" => self.owes_pong = true,
            b"6" => {}
            _ if packet.starts_with(b"40{") => self.stage = Stage::Connected,
            _ => {
                let (id, arguments) = packet::ack(packet)?;
                let data = arguments.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
                let asked =
                    self.under_way.take_if(|(asked, _)| *asked == id && data == Some(self.data.as_bytes()));
                return Ok(Some(asked.ok_or_else(|| unexpected(packet))?.1));
            }
        }
        Ok(None)
    }
}

impl Client for Polling {
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()> {
        let Incoming::Response(response) = incoming else {
            return Err("the server closed a connection".into());
        };
        let session = &mut self.sessions[self.session_of[&from]];
        if from == session.post {
            confirm_post(&response)?;
            session.is_posting = false;
        } else if session.stage == Stage::Opening {
            return session.opened(network, body(&response)?);
        } else {
            let was_connected = session.stage == Stage::Connected;
            for packet in packets(body(&response)?) {
                if let Some(sent) = session.packet(packet)? {
                    self.tally.count(1);
                    self.tally.took(sent, network.now);
                }
            }
            session.poll(network)?;
            self.n_connected += usize::from(!was_connected && session.stage == Stage::Connected);
        }
        if self.is_running { session.ask_when_free(network) } else { Ok(()) }
    }
}

impl Workload for Polling {
    fn start(&mut self, network: &mut Network) -> Result<()> {
        self.is_running = true;
        self.sessions.iter_mut().try_for_each(|session| session.ask_when_free(network))
    }

    fn stop(&mut self, _network: &mut Network) -> Result<()> {
        self.is_running = false;
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.sessions.iter().all(|session| session.under_way.is_none() && !session.is_posting)
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
