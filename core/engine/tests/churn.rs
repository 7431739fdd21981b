//! Tens of thousands of clients that come and go in every way, after which nothing of them is left.
//!
//! A program of its own, because it looks at the memory of its process.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ferrio_engine::{
    Admitted, CloseReason, Config, Data, Layer, Limits, ListenOptions, Refusal, RequestHead, SendOptions,
    Server, Session, Turn, Wait,
};
use ferrio_testing::{
    client::Message,
    eventually,
    http::{Http, UPGRADE, head, text, websocket_request},
    member,
    websocket::{CLOSE, TEXT, WebSocket, frame},
};
use http::{HeaderMap, Method, Response};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
};

/// Clients of each kind in a round, and rounds after the first, which fills what is kept for later.
const N_CLIENTS: usize = 400;
const N_ROUNDS: usize = 4;

/// Clients of each kind that are there at once: the close packet of a polling client is answered after a moment.
const N_AT_ONCE: usize = 20;

/// The ways of a client.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// WebSocket, closed in good order.
    Polite,
    /// WebSocket, gone in the middle of a frame.
    CutOff,
    /// WebSocket, closed by the server.
    SentAway,
    /// WebSocket, discarded by the server with messages on their way.
    Discarded,
    /// WebSocket, gone while its message waits for its turn.
    Impatient,
    /// WebSocket, which the layer does not want.
    Unwanted,
    /// A WebSocket request without anybody to read the answer.
    HalfRequested,
    /// Bytes that are no WebSocket frame.
    Garbage,
    /// WebSocket with messages carried by the host.
    Carried,
    /// WebSocket on the server's own port, reset.
    Reset,
    /// A request's beginning on the server's own port.
    HalfSent,
    /// Long-polling that sends a close packet.
    PolitePoller,
    /// Long-polling, gone in the middle of a poll.
    CutOffPoller,
    /// Long-polling under a name, closed by the server and told so.
    Told,
    /// A handshake and then nothing.
    Abandoned,
    /// Long-polling, gone in the middle of its upgrade.
    HalfUpgraded,
    /// Long-polling, upgraded, closed in good order.
    Upgraded,
    /// A client of the older protocol.
    Older,
}

const WAYS: [Way; 18] = [
    Way::Polite,
    Way::CutOff,
    Way::SentAway,
    Way::Discarded,
    Way::Impatient,
    Way::Unwanted,
    Way::HalfRequested,
    Way::Garbage,
    Way::Carried,
    Way::Reset,
    Way::HalfSent,
    Way::PolitePoller,
    Way::CutOffPoller,
    Way::Told,
    Way::Abandoned,
    Way::HalfUpgraded,
    Way::Upgraded,
    Way::Older,
];

const WEBSOCKET: &str = "EIO=4&transport=websocket";
const POLLING: &str = "EIO=4&transport=polling";

/// Does what its clients ask for.
struct Obliging;

impl Layer for Obliging {
    type State = Vec<u8>;

    fn state(&self) -> Vec<u8> {
        vec![0; 100]
    }

    fn opened(session: &Arc<Session<Self>>) {
        session.wake_layer_at(Instant::now() + Duration::from_millis(100));
    }

    fn message(session: &Arc<Session<Self>>, message: Data<'_>, _: Instant) {
        match message {
            Data::Text("away") => session.close(CloseReason::ForcedClose),
            Data::Text("discard") => {
                session.send(&Data::Binary(vec![0; 10_000].into()), SendOptions::default());
                session.discard(CloseReason::ForcedClose);
            }
            message => session.send(&message, SendOptions::default()),
        }
    }

    fn timeout(session: &Arc<Session<Self>>, _: Instant) {
        session.send(&Data::Text("still there?"), SendOptions::default());
    }

    fn backpressure(session: &Arc<Session<Self>>, message: Option<&Data<'_>>) -> Option<Wait> {
        let is_slow = matches!(message, Some(Data::Text("slow")));
        let session = is_slow.then(|| Arc::downgrade(session))?;
        Some(Box::pin(async move {
            while session.upgrade().is_some_and(|session| session.is_open()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Box::new(()) as Turn
        }))
    }

    async fn admit(&self, head: &RequestHead) -> Result<Admitted, Refusal> {
        tokio::task::yield_now().await;
        if head.query("unwanted").is_some() {
            return Err(Refusal::forbidden("not today".to_owned()));
        }
        Ok(Admitted { id: head.query("name").map(Arc::from), ..Admitted::default() })
    }

    async fn headers(&self, _: &RequestHead, _: bool, headers: &mut HeaderMap) {
        tokio::task::yield_now().await;
        headers.insert("x-served-by", http::HeaderValue::from_static("ferrio"));
    }
}

#[tokio::test]
async fn after_many_clients_nothing_is_left() {
    let config = Config {
        allow_eio3: true,
        ping_interval: Duration::from_millis(600),
        ping_timeout: Duration::from_millis(300),
        upgrade_timeout: Duration::from_millis(300),
        limits: Limits { header_timeout: Duration::from_millis(300), ..Limits::default() },
        ..Config::default()
    };
    let server = Server::new(config, Obliging).unwrap();
    server.ask_for_headers(true);
    let listener = server.listen(ListenOptions::new("127.0.0.1:0")).await.unwrap();
    round(&server, listener.local_addr()).await;
    let before = resident_bytes();
    for _ in 0..N_ROUNDS {
        round(&server, listener.local_addr()).await;
    }
    let after = resident_bytes();
    let n_opened = usize::try_from(server.metrics().connections_opened).unwrap();
    server.close();
    assert!(n_opened > N_ROUNDS * N_CLIENTS * 10, "{n_opened} sessions");
    let grown = after.saturating_sub(before);
    println!("{n_opened} sessions; {before} bytes after the first round, {after} after the last");
    // A closed polling session waits for its last poll for half a minute: those few may still be there. The rest is far
    // less than what a session leaves behind that is not let go.
    assert!(grown < 6 << 20, "grew by {grown} bytes from {before}");
}

/// All kinds of clients at once, and then nobody.
async fn round(server: &Server<Obliging>, address: SocketAddr) {
    let clients: Vec<_> = WAYS
        .into_iter()
        .flat_map(|way| [way; N_AT_ONCE])
        .map(|way| {
            let server = server.clone();
            tokio::spawn(async move {
                for _ in 0..N_CLIENTS / N_AT_ONCE {
                    go(way, &server, address).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    eventually(|| server.n_sessions() == 0).await;
    assert!(server.sessions().is_empty());
    let metrics = server.metrics();
    assert_eq!((metrics.connections_polling, metrics.connections_websocket), (0, 0));
    assert_eq!(metrics.connections_opened, metrics.connections_closed);
}

/// One client's life. Whether the server has dropped it for being slow does not matter.
async fn go(way: Way, server: &Server<Obliging>, address: SocketAddr) {
    match way {
        Way::Polite => send_close(websocket(server, WEBSOCKET).await).await,
        Way::CutOff => {
            let mut websocket = websocket(server, WEBSOCKET).await;
            websocket.writer.raw(&frame(TEXT, b"4cut off")[..9]).await;
        }
        Way::SentAway => ask_and_drain(server, "4away").await,
        Way::Discarded => ask_and_drain(server, "4discard").await,
        Way::Impatient => websocket(server, WEBSOCKET).await.writer.text("4slow").await,
        Way::Unwanted => {
            let (near, far) = duplex(1024);
            let query = format!("{WEBSOCKET}&unwanted=1");
            server.serve_channel(far, head(&Method::GET, &query, &UPGRADE), Bytes::new());
            assert!(WebSocket::accepted(near).await.is_err());
        }
        Way::HalfRequested => {
            let (near, far) = duplex(64);
            server.serve_channel(far, head(&Method::GET, WEBSOCKET, &UPGRADE), Bytes::new());
            drop(near);
        }
        Way::Garbage => {
            let mut websocket = websocket(server, WEBSOCKET).await;
            websocket.writer.raw(&[0xff; 64]).await;
            drain(websocket).await;
        }
        Way::Carried => {
            let carried = server.serve_messages(head(&Method::GET, WEBSOCKET, &UPGRADE)).await.unwrap();
            carried.receive_text("4question").await;
            carried.receive_binary(b"question").await;
            carried.next().await;
        }
        Way::Reset => {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let bytes =
                [websocket_request("/engine.io", WEBSOCKET).into_bytes(), frame(TEXT, b"4a")].concat();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_u8().await;
            stream.set_zero_linger().unwrap();
        }
        Way::HalfSent => {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(b"GET /engine.io/?EIO=4&trans").await;
        }
        Way::PolitePoller => {
            let query = poller(server, POLLING).await;
            request(server, &query, "4hello").await;
            request(server, &query, "1").await;
        }
        Way::CutOffPoller => {
            let query = poller(server, POLLING).await;
            Http::Memory(server.clone()).abandon(&query).await;
        }
        Way::Told => {
            let name = rand::random::<u64>();
            let query = poller(server, &format!("{POLLING}&name=n{name}")).await;
            request(server, &query, "4away").await;
            while poll(server, &query).await.status() == 200 {}
        }
        // Fewer, because each is kept until its time is up.
        Way::Abandoned if rand::random_bool(0.2) => drop(poller(server, POLLING).await),
        Way::Abandoned => {}
        Way::HalfUpgraded => {
            let query = poller(server, POLLING).await;
            let mut probe = websocket_for(server, &query.replace("polling", "websocket")).await;
            probe.writer.text("2probe").await;
            probe.reader.receive().await;
            drop(probe);
            request(server, &query, "1").await;
        }
        Way::Upgraded => {
            let query = poller(server, POLLING).await;
            request(server, &query, "4hello").await;
            let mut probe = websocket_for(server, &query.replace("polling", "websocket")).await;
            probe.writer.text("2probe").await;
            probe.reader.receive().await;
            probe.writer.text("5").await;
            send_close(probe).await;
        }
        Way::Older => {
            let query = poller(server, "EIO=3&transport=polling").await;
            request(server, &query, "6:4hello").await;
            poll(server, &query).await;
            request(server, &query, "1:1").await;
        }
    }
}

async fn websocket_for(server: &Server<Obliging>, query: &str) -> WebSocket {
    let (near, far) = duplex(1024);
    server.serve_channel(far, head(&Method::GET, query, &UPGRADE), Bytes::new());
    WebSocket::accepted(near).await.expect("it is accepted")
}

async fn websocket(server: &Server<Obliging>, query: &str) -> WebSocket {
    let mut websocket = websocket_for(server, query).await;
    websocket.reader.receive().await;
    websocket
}

async fn ask_and_drain(server: &Server<Obliging>, packet: &str) {
    let mut websocket = websocket(server, WEBSOCKET).await;
    websocket.writer.text(packet).await;
    drain(websocket).await;
}

async fn send_close(mut websocket: WebSocket) {
    websocket.writer.text("4hello").await;
    websocket.writer.frame(CLOSE, &[]).await;
    drain(websocket).await;
}

/// Reads until the server closes.
async fn drain(mut websocket: WebSocket) {
    while !matches!(websocket.reader.receive().await, Message::Closed(_) | Message::Lost) {}
}

/// Opens a polling session, and returns the query of its requests.
async fn poller(server: &Server<Obliging>, query: &str) -> String {
    let opened = poll(server, query).await;
    assert_eq!(opened.headers()["x-served-by"], "ferrio");
    format!("{query}&sid={}", member(text(&opened), "sid"))
}

async fn poll(server: &Server<Obliging>, query: &str) -> Response<Bytes> {
    server.handle(head(&Method::GET, query, &[]), Full::new(Bytes::new())).await
}

async fn request(server: &Server<Obliging>, query: &str, body: &str) -> Response<Bytes> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    server.handle(head(&Method::POST, query, &[]), body).await
}

/// The process's memory that is not shared and not swapped, where the system tells it.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096
}
