//! One client, whichever door it comes by.

use std::{collections::VecDeque, net::SocketAddr};

use bytes::Bytes;
use ferrio::{MessageSocket, Outgoing, Protocol, Server};
use ferrio_protocol::engine::{
    Data,
    payload::{PayloadEncoder, decode},
};
use http::{Method, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpListener, TcpStream},
};

use super::{
    TestServer,
    http::{Http, UPGRADE, head, text, websocket_request},
    in_time, member,
    websocket::{BINARY, WebSocket},
};

/// The ways to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Long-polling, each request handed over as a value.
    Handle,
    /// Long-polling on the server's own port.
    Port,
    /// A WebSocket whose bytes the host carries.
    Stream,
    /// A WebSocket on the server's own port.
    Listen,
    /// A WebSocket whose descriptor the host hands over.
    Adopt,
    /// A WebSocket whose messages the host carries.
    Messages,
    /// A WebSocket that began as long-polling.
    Upgraded,
}

impl Door {
    pub(crate) const ALL: [Self; 7] =
        [Self::Handle, Self::Port, Self::Stream, Self::Listen, Self::Adopt, Self::Messages, Self::Upgraded];

    pub(crate) fn is_polling(self) -> bool {
        matches!(self, Self::Handle | Self::Port)
    }
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
    /// The server closed in good order.
    Closed(Option<u16>),
    /// The connection broke.
    Lost,
}

pub(crate) struct Client {
    /// The open packet.
    pub(crate) open: String,
    pub(crate) carrier: Carrier,
}

pub(crate) enum Carrier {
    Polling(Polling),
    WebSocket(WebSocket),
    Messages { socket: MessageSocket, received: VecDeque<Outgoing> },
}

pub(crate) struct Polling {
    pub(crate) http: Http,
    pub(crate) query: String,
    received: VecDeque<Message>,
}

const WEBSOCKET: &str = "EIO=4&transport=websocket";
const POLLING: &str = "EIO=4&transport=polling";

impl Client {
    pub(crate) async fn open(test: &TestServer, door: Door) -> Self {
        let carrier = match door {
            Door::Handle => return Self::poll(Http::memory(test), POLLING).await,
            Door::Port => return Self::poll(Http::tcp(test), POLLING).await,
            Door::Upgraded => {
                let mut client = Self::poll(Http::memory(test), POLLING).await;
                client.upgrade(test).await;
                return client;
            }
            Door::Messages => {
                let request = head(&Method::GET, WEBSOCKET, &UPGRADE);
                let socket = test.server.engine().serve_messages(request).await.unwrap();
                Carrier::Messages { socket, received: VecDeque::new() }
            }
            _ => Carrier::WebSocket(websocket(test, door, WEBSOCKET).await.expect("it is accepted")),
        };
        let mut client = Self { open: String::new(), carrier };
        client.open = client.text().await;
        client
    }

    /// A long-polling client whose handshake has this query.
    pub(crate) async fn poll(http: Http, query: &str) -> Self {
        let opened = http.get(query).await;
        assert_eq!(opened.status(), 200, "{}", text(&opened));
        let query = format!("{query}&sid={}", member(text(&opened), "sid"));
        let mut polling = Polling::new(http, query);
        polling.take(&opened);
        let mut client = Self { open: String::new(), carrier: Carrier::Polling(polling) };
        client.open = client.text().await;
        client
    }

    /// The secret id of the session.
    pub(crate) fn session_id(&self) -> &str {
        member(&self.open, "sid")
    }

    /// Moves a polling client to WebSocket while nothing is under way.
    pub(crate) async fn upgrade(&mut self, test: &TestServer) {
        let query = self.upgrade_query();
        let mut websocket = websocket(test, Door::Stream, &query).await.expect("it is accepted");
        websocket.writer.text("2probe").await;
        assert_eq!(websocket.reader.receive().await, Message::Text("3probe".to_owned()));
        websocket.writer.text("5").await;
        self.carrier = Carrier::WebSocket(websocket);
    }

    pub(crate) fn upgrade_query(&self) -> String {
        format!("{WEBSOCKET}&sid={}", self.session_id())
    }

    /// Sends an engine packet.
    pub(crate) async fn send(&mut self, packet: &str) {
        match &mut self.carrier {
            Carrier::Polling(polling) => polling.post(packet.as_bytes()).await,
            Carrier::WebSocket(websocket) => websocket.writer.text(packet).await,
            Carrier::Messages { socket, .. } => in_time(socket.receive_text(packet)).await,
        }
    }

    /// Sends a binary message.
    pub(crate) async fn send_binary(&mut self, message: &[u8]) {
        match &mut self.carrier {
            Carrier::Polling(polling) => {
                let mut encoder = PayloadEncoder::new(Protocol::V4, false);
                encoder.push_binary(message);
                polling.post(&encoder.finish().0).await;
            }
            Carrier::WebSocket(websocket) => websocket.writer.frame(BINARY, message).await,
            Carrier::Messages { socket, .. } => in_time(socket.receive_binary(message)).await,
        }
    }

    pub(crate) async fn receive(&mut self) -> Message {
        match &mut self.carrier {
            Carrier::Polling(polling) => polling.receive().await,
            Carrier::WebSocket(websocket) => websocket.reader.receive().await,
            Carrier::Messages { socket, received } => {
                if received.is_empty() {
                    received.extend(in_time(socket.next()).await.into_iter().flatten());
                }
                match received.pop_front() {
                    Some(Outgoing::Text(text)) => Message::Text(String::from_utf8(text.to_vec()).unwrap()),
                    Some(Outgoing::Binary(data)) => Message::Binary(data.to_vec()),
                    Some(Outgoing::Close(code)) => Message::Closed(Some(code)),
                    None => Message::Lost,
                }
            }
        }
    }

    /// The next text message, heartbeats and noops apart.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.receive().await {
                Message::Text(text) if text == "2" || text == "6" => {}
                Message::Text(text) => return text,
                other => panic!("a text was due, not {other:?}"),
            }
        }
    }

    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        match self.receive().await {
            Message::Binary(data) => data,
            other => panic!("a binary message was due, not {other:?}"),
        }
    }

    /// Reads until the server has closed, and returns what came until then.
    pub(crate) async fn closed(&mut self) -> Vec<Message> {
        let mut received = Vec::new();
        while !matches!(received.last(), Some(Message::Closed(_) | Message::Lost)) {
            received.push(self.receive().await);
        }
        received
    }

    /// Leaves as a client does that says goodbye.
    pub(crate) async fn close(mut self) {
        match &mut self.carrier {
            Carrier::Polling(polling) => polling.post(b"1").await,
            Carrier::WebSocket(websocket) => {
                websocket.writer.frame(super::websocket::CLOSE, &[]).await;
                while !matches!(websocket.reader.receive().await, Message::Closed(_) | Message::Lost) {}
            }
            Carrier::Messages { socket, .. } => socket.closed(),
        }
    }

    /// The WebSocket itself, for a client that is one.
    pub(crate) fn into_websocket(self) -> WebSocket {
        match self.carrier {
            Carrier::WebSocket(websocket) => websocket,
            _ => panic!("no WebSocket"),
        }
    }

    /// The polling requests, for a client that makes them.
    pub(crate) fn polling(&self) -> &Polling {
        match &self.carrier {
            Carrier::Polling(polling) => polling,
            _ => panic!("no polling"),
        }
    }
}

impl Polling {
    pub(crate) fn new(http: Http, query: String) -> Self {
        Self { http, query, received: VecDeque::new() }
    }

    /// The packets of one answer.
    pub(crate) async fn batch(&mut self) -> Vec<Message> {
        let answer = self.get().await;
        assert_eq!(answer.status(), 200, "{}", text(&answer));
        self.take(&answer);
        self.received.drain(..).collect()
    }

    pub(crate) async fn post(&mut self, body: &[u8]) {
        let answer = self.http.post(&self.query, body).await;
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "ok"));
    }

    /// One GET.
    pub(crate) async fn get(&self) -> Response<Bytes> {
        self.http.get(&self.query).await
    }

    async fn receive(&mut self) -> Message {
        if self.received.is_empty() {
            let answer = self.get().await;
            if answer.status() != 200 {
                return Message::Lost;
            }
            self.take(&answer);
        }
        self.received.pop_front().expect("an answer has packets")
    }

    /// Takes the packets of an answer.
    fn take(&mut self, answer: &Response<Bytes>) {
        let protocol = if self.query.contains("EIO=4") { Protocol::V4 } else { Protocol::V3 };
        let is_binary = answer.headers()["content-type"] == "application/octet-stream";
        for packet in decode(protocol, answer.body(), is_binary) {
            let packet = packet.unwrap();
            self.received.push_back(match packet.data {
                Data::Binary(data) => Message::Binary(data.into_owned()),
                Data::Text(_) if packet.kind == ferrio_protocol::engine::PacketType::Close => {
                    Message::Closed(None)
                }
                Data::Text(text) => Message::Text(format!("{}{text}", packet.kind as u8)),
            });
        }
    }
}

/// Opens a WebSocket by a door that has bytes.
pub(crate) async fn websocket(
    test: &TestServer,
    door: Door,
    query: &str,
) -> Result<WebSocket, Response<Bytes>> {
    match door {
        Door::Stream => {
            // Small, so that the server has to wait for its reader.
            let (near, far) = duplex(4096);
            test.server.engine().serve_channel(far, head(&Method::GET, query, &UPGRADE), Bytes::new());
            WebSocket::accepted(near).await
        }
        Door::Listen => WebSocket::accepted(requesting(test.address, query).await).await,
        Door::Adopt => WebSocket::accepted(adopted(&test.server, query).await).await,
        other => panic!("{other:?} has no bytes"),
    }
}

/// A TCP connection on which a WebSocket request was sent.
async fn requesting(address: SocketAddr, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(websocket_request(query).as_bytes()).await.unwrap();
    stream
}

/// A connection that another HTTP server accepts, whose request it reads, and which it then hands over.
pub(crate) async fn adopted(server: &Server, query: &str) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = requesting(listener.local_addr().unwrap(), query).await;
    let (mut accepted, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(in_time(accepted.read_u8()).await.unwrap());
    }
    let target = String::from_utf8(request).unwrap();
    let (_, query) = target.split(' ').nth(1).and_then(|target| target.split_once('?')).expect("a query");
    let duplicate = accepted.into_std().unwrap().try_clone().unwrap();
    server.engine().take_over(duplicate.into(), head(&Method::GET, query, &UPGRADE), Bytes::new()).unwrap();
    client
}
