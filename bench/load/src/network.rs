//! Keeps many connections on one epoll and hands on what arrives, whole message by whole message.

use std::io::{ErrorKind, Read, Write};
use std::mem::take;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::frame::Opcode;
use crate::http::{Response, WEBSOCKET_ACCEPT};
use crate::packet::unexpected;
use crate::{Result, frame, http};

/// Names a connection; used again once the connection has closed.
pub(crate) type ConnectionId = usize;

/// What a connection has received.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// The response to an HTTP request.
    Response(Response<'a>),
    /// The WebSocket is open.
    Upgraded,
    /// A text message over WebSocket, the heartbeat excepted.
    Message(&'a [u8]),
    /// The end; the connection is gone.
    Closed,
}

/// Reacts to what connections receive.
pub(crate) trait Client {
    /// Takes one message. Sending is done through `network`, which writes when this returns.
    fn incoming(&mut self, network: &mut Network, from: ConnectionId, incoming: Incoming<'_>) -> Result<()>;

    /// Is told how often the interval of [`Network::tick_every`] has passed since the last call.
    fn tick(&mut self, _network: &mut Network, _n_ticks: u64) -> Result<()> {
        Ok(())
    }
}

/// All connections to the one server.
pub(crate) struct Network {
    address: SocketAddr,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<ConnectionId>,
    /// Connections with something to write.
    dirty: Vec<ConnectionId>,
    timer: Option<OwnedFd>,
    /// The time at which the bytes being handled were read.
    pub(crate) now: Instant,
    /// Engine.IO pings that were answered.
    pub(crate) n_heartbeats: u64,
}

struct Connection {
    stream: TcpStream,
    protocol: Protocol,
    /// The start of a message whose rest has not come yet.
    incomplete: Vec<u8>,
    outgoing: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    /// The request for a WebSocket is sent.
    Upgrading,
    WebSocket,
}

const TIMER: Token = Token(usize::MAX);

/// Many full batches of a broadcast in one read, so that reading stays cheap.
const READ_BUFFER_SIZE: usize = 256 * 1024;

impl Network {
    /// Prepares to connect to `address`.
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            address,
            poll: Poll::new()?,
            connections: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            timer: None,
            now: Instant::now(),
            n_heartbeats: 0,
        })
    }

    /// Opens a connection for HTTP requests.
    pub(crate) fn connect(&mut self) -> Result<ConnectionId> {
        let mut stream = TcpStream::connect(self.address)?;
        // Without it a small second write could wait for the server's delayed TCP acknowledgement.
        stream.set_nodelay(true)?;
        let id = self.free.pop().unwrap_or(self.connections.len());
        self.poll.registry().register(&mut stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        if id == self.connections.len() {
            self.connections.push(None);
        }
        let protocol = Protocol::Http;
        self.connections[id] =
            Some(Connection { stream, protocol, incomplete: Vec::new(), outgoing: Vec::new() });
        Ok(id)
    }

    /// Opens a WebSocket connection.
    pub(crate) fn connect_websocket(&mut self, path: &str) -> Result<ConnectionId> {
        let id = self.connect()?;
        if let Some(connection) = &mut self.connections[id] {
            connection.protocol = Protocol::Upgrading;
        }
        http::upgrade(self.outgoing(id)?, path);
        Ok(id)
    }

    /// Where bytes for a connection are put; they are written soon.
    pub(crate) fn outgoing(&mut self, id: ConnectionId) -> Result<&mut Vec<u8>> {
        let connection = self.connections[id].as_mut().ok_or("sending on a closed connection")?;
        if connection.outgoing.is_empty() {
            self.dirty.push(id);
        }
        Ok(&mut connection.outgoing)
    }

    /// Sends a text message over WebSocket.
    pub(crate) fn send(&mut self, id: ConnectionId, message: &[u8]) -> Result<()> {
        frame::write(self.outgoing(id)?, Opcode::Text, message);
        Ok(())
    }

    /// Leaves the namespace and starts the closing handshake of WebSocket, which the server ends.
    pub(crate) fn disconnect(&mut self, id: ConnectionId) -> Result<()> {
        self.send(id, b"41")?;
        frame::write(self.outgoing(id)?, Opcode::Close, &1000_u16.to_be_bytes());
        Ok(())
    }

    /// Closes a connection at once.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        if self.connections[id].take().is_some() {
            self.free.push(id);
        }
    }

    /// Calls [`Client::tick`] at this interval, which may be far below the millisecond that epoll's timeout has.
    pub(crate) fn tick_every(&mut self, interval: Duration) -> Result<()> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let interval = Timespec::try_from(interval)?;
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: interval, it_value: interval },
        )?;
        self.poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        self.timer = Some(timer);
        Ok(())
    }

    /// Hands messages to `client` while `goes_on` says so. Fails when nothing at all happens for `patience`.
    pub(crate) fn drive<C: Client>(
        &mut self,
        client: &mut C,
        patience: Duration,
        mut goes_on: impl FnMut(&mut C, &mut Self) -> Result<bool>,
    ) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER_SIZE];
        let mut last_event = Instant::now();
        while goes_on(client, self)? {
            self.flush()?;
            self.poll.poll(&mut events, Some(Duration::from_millis(50)))?;
            self.now = Instant::now();
            if !events.is_empty() {
                last_event = self.now;
            } else if self.now - last_event > patience {
                return Err(format!("no answer for {} s", patience.as_secs()).into());
            }
            for event in &events {
                if event.token() == TIMER {
                    let n_ticks = self.elapsed_ticks()?;
                    client.tick(self, n_ticks)?;
                } else {
                    self.ready(event, client, &mut buffer)?;
                }
                self.flush()?;
            }
        }
        Ok(())
    }

    fn ready<C: Client>(&mut self, event: &Event, client: &mut C, buffer: &mut [u8]) -> Result<()> {
        let id = event.token().0;
        self.dirty.push(id);
        while let Some(connection) = self.connections[id].as_mut().filter(|_| event.is_readable()) {
            let n_read = match connection.stream.read(buffer) {
                Ok(n_read) => n_read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(error.into()),
            };
            if n_read == 0 {
                self.close(id);
                return client.incoming(self, id, Incoming::Closed);
            }
            self.now = Instant::now();
            self.received(id, &buffer[..n_read], client)?;
            // Edge-triggered epoll reports again what comes after a read that did not fill the buffer, but not an end
            // that came together with these bytes.
            if n_read < buffer.len() && !event.is_read_closed() {
                break;
            }
        }
        Ok(())
    }

    /// Takes whole messages from the bytes and keeps the rest for later.
    fn received<C: Client>(&mut self, id: ConnectionId, bytes: &[u8], client: &mut C) -> Result<()> {
        let joined;
        let mut rest = bytes;
        let Some(connection) = &mut self.connections[id] else { return Ok(()) };
        if !connection.incomplete.is_empty() {
            connection.incomplete.extend(bytes);
            joined = take(&mut connection.incomplete);
            rest = &joined;
        }
        loop {
            let n_used = self.first_message(id, rest, client)?;
            rest = &rest[n_used..];
            let Some(connection) = &mut self.connections[id] else { return Ok(()) };
            if n_used == 0 || rest.is_empty() {
                connection.incomplete.extend(rest);
                return Ok(());
            }
        }
    }

    /// Hands on the first message and returns its length in bytes, which is zero while it is not complete.
    fn first_message<C: Client>(&mut self, id: ConnectionId, bytes: &[u8], client: &mut C) -> Result<usize> {
        let Some(connection) = &mut self.connections[id] else { return Ok(0) };
        if connection.protocol == Protocol::WebSocket {
            let Some((frame, length)) = frame::read(bytes)? else { return Ok(0) };
            match (frame.opcode, frame.payload) {
                (Opcode::Text, b"2") => {
                    self.n_heartbeats += 1;
                    self.send(id, b"3")?;
                }
                (Opcode::Text, message) => client.incoming(self, id, Incoming::Message(message))?,
                (Opcode::Ping, payload) => frame::write(self.outgoing(id)?, Opcode::Pong, payload),
                // After its closing frame the server closes the connection, which is what counts.
                (Opcode::Close | Opcode::Pong, _) => {}
            }
            return Ok(length);
        }
        let Some((response, length)) = http::read(bytes)? else { return Ok(0) };
        if connection.protocol == Protocol::Upgrading {
            if response.status != 101 || response.accept != Some(WEBSOCKET_ACCEPT) {
                return Err(unexpected(bytes).into());
            }
            connection.protocol = Protocol::WebSocket;
            client.incoming(self, id, Incoming::Upgraded)?;
        } else {
            client.incoming(self, id, Incoming::Response(response))?;
        }
        Ok(length)
    }

    /// Writes what there is to write; what the kernel does not take stays until the connection is ready again.
    fn flush(&mut self) -> Result<()> {
        while let Some(id) = self.dirty.pop() {
            let Some(connection) = self.connections[id].as_mut().filter(|one| !one.outgoing.is_empty())
            else {
                continue;
            };
            while !connection.outgoing.is_empty() {
                match connection.stream.write(&connection.outgoing) {
                    Ok(n_written) => drop(connection.outgoing.drain(..n_written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // The end is read and reported in its turn.
                    Err(error)
                        if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
                    {
                        connection.outgoing.clear();
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn elapsed_ticks(&self) -> Result<u64> {
        let mut count = [0; 8];
        let timer = self.timer.as_ref().ok_or("no timer is set")?;
        match rustix::io::read(timer, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
