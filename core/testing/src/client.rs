//! One client, whichever entry point it comes by.

use std::{collections::VecDeque, net::SocketAddr};

use bytes::Bytes;
use ferrio_engine::{Layer, MessageSocket, Outgoing, Protocol, Server};
use ferrio_protocol::engine::{
    Data,
    payload::{PayloadEncoder, decode},
};
use http::{Method, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::{
    Target,
    http::{Http, UPGRADE, head, text, websocket_request, websocket_request_with},
    in_time, member,
    websocket::{BINARY, WebSocket},
};

/// The ways to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryPoint {
    /// Long-polling, each request handed over as a value.
    Handle,
    /// Long-polling on the server's own port.
    Port,
    /// A WebSocket whose bytes the host carries.
    Channel,
    /// A WebSocket on the server's own port.
    Listen,
    /// A WebSocket whose descriptor the host hands over.
    TakeOver,
    /// A WebSocket whose messages the host carries.
    Messages,
    /// A WebSocket that began as long-polling.
    Upgraded,
}

impl EntryPoint {
    /// Those that are still there when the server has closed its port.
    pub const WITHOUT_PORT: [Self; 6] =
        [Self::Handle, Self::Channel, Self::Listen, Self::TakeOver, Self::Messages, Self::Upgraded];

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Handle,
        Self::Port,
        Self::Channel,
        Self::Listen,
        Self::TakeOver,
        Self::Messages,
        Self::Upgraded,
    ];

    /// Whether it is long-polling.
    pub fn is_polling(self) -> bool {
        matches!(self, Self::Handle | Self::Port)
    }
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, with the type of its engine packet in front.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The server closed in good order.
    Closed(Option<u16>),
    /// The connection broke.
    Lost,
}

/// A client, and what carries it.
pub struct Client<L: Layer> {
    /// The open packet.
    pub open: String,
    /// What carries it.
    pub carrier: Carrier<L>,
}

/// What carries a client.
pub enum Carrier<L: Layer> {
    /// Long-polling.
    Polling(Polling<L>),
    /// A WebSocket.
    WebSocket(WebSocket),
    /// A WebSocket whose messages the host carries.
    Messages {
        /// The host's end.
        socket: MessageSocket<L>,
        /// What has come and was not looked at yet.
        received: VecDeque<Outgoing>,
    },
}

/// A client's polling requests.
pub struct Polling<L: Layer> {
    /// Where they go to.
    pub http: Http<L>,
    /// Their query.
    pub query: String,
    received: VecDeque<Message>,
}

const WEBSOCKET: &str = "EIO=4&transport=websocket";
const POLLING: &str = "EIO=4&transport=polling";

impl<L: Layer> Client<L> {
    /// A client that has read its open packet.
    pub async fn open(test: &impl Target<Layer = L>, entry_point: EntryPoint) -> Self {
        let carrier = match entry_point {
            EntryPoint::Handle => return Self::poll(Http::memory(test), POLLING).await,
            EntryPoint::Port => return Self::poll(Http::tcp(test), POLLING).await,
            EntryPoint::Upgraded => {
                let mut client = Self::poll(Http::memory(test), POLLING).await;
                client.upgrade(test).await;
                return client;
            }
            EntryPoint::Messages => {
                let request = head(&Method::GET, WEBSOCKET, &UPGRADE);
                let socket = test.engine().serve_messages(request).await.unwrap();
                Carrier::Messages { socket, received: VecDeque::new() }
            }
            _ => Carrier::WebSocket(websocket(test, entry_point, WEBSOCKET).await.expect("it is accepted")),
        };
        let mut client = Self { open: String::new(), carrier };
        client.open = client.text().await;
        client
    }

    /// A long-polling client whose handshake has this query.
    pub async fn poll(http: Http<L>, query: &str) -> Self {
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
    pub fn session_id(&self) -> &str {
        member(&self.open, "sid")
    }

    /// Moves a polling client to WebSocket while nothing is under way.
    pub async fn upgrade(&mut self, test: &impl Target<Layer = L>) {
        let query = self.upgrade_query();
        let mut websocket = websocket(test, EntryPoint::Channel, &query).await.expect("it is accepted");
        websocket.writer.text("2probe").await;
        assert_eq!(websocket.reader.receive().await, Message::Text("3probe".to_owned()));
        websocket.writer.text("5").await;
        self.carrier = Carrier::WebSocket(websocket);
    }

    /// The query of a WebSocket request for the session.
    pub fn upgrade_query(&self) -> String {
        format!("{WEBSOCKET}&sid={}", self.session_id())
    }

    /// Sends an engine packet.
    pub async fn send(&mut self, packet: &str) {
        match &mut self.carrier {
            Carrier::Polling(polling) => polling.post(packet.as_bytes()).await,
            Carrier::WebSocket(websocket) => websocket.writer.text(packet).await,
            Carrier::Messages { socket, .. } => in_time(socket.receive_text(packet)).await,
        }
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, message: &[u8]) {
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

    /// What comes next.
    pub async fn receive(&mut self) -> Message {
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
    pub async fn text(&mut self) -> String {
        loop {
            match self.receive().await {
                Message::Text(text) if text == "2" || text == "6" => {}
                Message::Text(text) => return text,
                other => panic!("a text was due, not {other:?}"),
            }
        }
    }

    /// The next message, which has to be binary.
    pub async fn binary(&mut self) -> Vec<u8> {
        match self.receive().await {
            Message::Binary(data) => data,
            other => panic!("a binary message was due, not {other:?}"),
        }
    }

    /// Reads until the server has closed, and returns what came until then.
    pub async fn closed(&mut self) -> Vec<Message> {
        let mut received = Vec::new();
        while !matches!(received.last(), Some(Message::Closed(_) | Message::Lost)) {
            received.push(self.receive().await);
        }
        received
    }

    /// Leaves as a client does that sends a close packet.
    pub async fn close(mut self) {
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
    pub fn into_websocket(self) -> WebSocket {
        match self.carrier {
            Carrier::WebSocket(websocket) => websocket,
            _ => panic!("no WebSocket"),
        }
    }

    /// The polling requests, for a client that makes them.
    pub fn polling(&self) -> &Polling<L> {
        match &self.carrier {
            Carrier::Polling(polling) => polling,
            _ => panic!("no polling"),
        }
    }
}

impl<L: Layer> Polling<L> {
    /// Polls with this query.
    pub fn new(http: Http<L>, query: String) -> Self {
        Self { http, query, received: VecDeque::new() }
    }

    /// The packets of one answer.
    pub async fn batch(&mut self) -> Vec<Message> {
        let answer = self.get().await;
        assert_eq!(answer.status(), 200, "{}", text(&answer));
        self.take(&answer);
        self.received.drain(..).collect()
    }

    /// One POST, which has to be taken.
    pub async fn post(&mut self, body: &[u8]) {
        let answer = self.http.post(&self.query, body).await;
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "ok"));
    }

    /// One GET.
    pub async fn get(&self) -> Response<Bytes> {
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

/// Opens a WebSocket by an entry point that has bytes.
///
/// # Errors
/// The answer that refuses it.
pub async fn websocket<L: Layer>(
    test: &impl Target<Layer = L>,
    entry_point: EntryPoint,
    query: &str,
) -> Result<WebSocket, Response<Bytes>> {
    websocket_with(test, entry_point, query, &UPGRADE).await
}

/// The same, by a request with these headers.
///
/// # Errors
/// The answer that refuses it.
pub async fn websocket_with<L: Layer>(
    test: &impl Target<Layer = L>,
    entry_point: EntryPoint,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<WebSocket, Response<Bytes>> {
    match entry_point {
        EntryPoint::Channel => {
            // Small, so that the server has to wait for its reader.
            let (near, far) = duplex(4096);
            test.engine().serve_channel(far, head(&Method::GET, query, headers), Bytes::new());
            WebSocket::accepted(near).await
        }
        EntryPoint::Listen => {
            let path = &test.engine().config().path;
            WebSocket::accepted(requesting(test.address(), path, query, headers).await).await
        }
        EntryPoint::TakeOver => WebSocket::accepted(adopted_with(test.engine(), query, headers).await).await,
        other => panic!("{other:?} has no bytes"),
    }
}

/// A WebSocket on the server's own port whose client's kernel takes little, so that the server soon notices when nobody
/// reads. It has read its open packet.
pub async fn lazy_websocket(test: &impl Target) -> WebSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(test.address()).await.unwrap();
    let request = websocket_request(&test.engine().config().path, WEBSOCKET);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut websocket = WebSocket::accepted(stream).await.expect("it is accepted");
    assert!(matches!(websocket.reader.receive().await, Message::Text(open) if open.starts_with('0')));
    websocket
}

/// A TCP connection on which a WebSocket request was sent.
async fn requesting(address: SocketAddr, path: &str, query: &str, headers: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(websocket_request_with(path, query, headers).as_bytes()).await.unwrap();
    stream
}

/// A connection that another HTTP server accepts, whose request it reads, and which it then hands over.
pub async fn adopted<L: Layer>(server: &Server<L>, query: &str) -> TcpStream {
    adopted_with(server, query, &UPGRADE).await
}

async fn adopted_with<L: Layer>(server: &Server<L>, query: &str, headers: &[(&str, &str)]) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = requesting(listener.local_addr().unwrap(), "/engine.io", query, headers).await;
    let (mut accepted, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(in_time(accepted.read_u8()).await.unwrap());
    }
    let target = String::from_utf8(request).unwrap();
    let (_, query) = target.split(' ').nth(1).and_then(|target| target.split_once('?')).expect("a query");
    let duplicate = accepted.into_std().unwrap().try_clone().unwrap();
    server.take_over(duplicate.into(), head(&Method::GET, query, headers), Bytes::new()).unwrap();
    client
}
