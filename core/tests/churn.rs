//! Tens of thousands of clients that come and go in every way, after which nothing of them is left.
//!
//! A program of its own, because it looks at the memory of its process.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use ferrio::{Config, Events, HostEvent, ListenOptions, Server, Writes};
use ferrio_testing::{
    client::Message,
    eventually,
    http::{Http, UPGRADE, head, text, websocket_request},
    member,
    websocket::{CLOSE, WebSocket, frame},
};
use http::{Method, Response};
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
    /// WebSocket, gone while the host still thinks about it.
    Impatient,
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
    /// A handshake and then nothing.
    Abandoned,
    /// Long-polling, gone in the middle of its upgrade.
    HalfUpgraded,
    /// Long-polling, upgraded, closed in good order.
    Upgraded,
    /// A client of the older protocol.
    Older,
}

const WAYS: [Way; 15] = [
    Way::Polite,
    Way::CutOff,
    Way::SentAway,
    Way::Impatient,
    Way::HalfRequested,
    Way::Garbage,
    Way::Carried,
    Way::Reset,
    Way::HalfSent,
    Way::PolitePoller,
    Way::CutOffPoller,
    Way::Abandoned,
    Way::HalfUpgraded,
    Way::Upgraded,
    Way::Older,
];

const WEBSOCKET: &str = "EIO=4&transport=websocket";
const POLLING: &str = "EIO=4&transport=polling";

#[tokio::test]
async fn after_many_clients_nothing_is_left() {
    let config = Config {
        engine: ferrio_engine::Config {
            allow_eio3: true,
            ping_interval: Duration::from_millis(600),
            ping_timeout: Duration::from_millis(300),
            upgrade_timeout: Duration::from_millis(300),
            limits: ferrio_engine::Limits {
                header_timeout: Duration::from_millis(300),
                ..ferrio_engine::Limits::default()
            },
            ..Config::default().engine
        },
        connect_timeout: Duration::from_millis(600),
        ..Config::default()
    };
    let (server, events) = Server::new(config, || {}).unwrap();
    server.namespace("/");
    let listener = server.engine().listen(ListenOptions::new("127.0.0.1:0")).await.unwrap();
    tokio::spawn(serve(events));
    round(&server, listener.local_addr()).await;
    let before = resident_bytes();
    for _ in 0..N_ROUNDS {
        round(&server, listener.local_addr()).await;
    }
    let after = resident_bytes();
    let n_opened = usize::try_from(server.metrics().engine.connections_opened).unwrap();
    server.close();
    assert!(n_opened > N_ROUNDS * N_CLIENTS * 10, "{n_opened} sessions");
    let grown = after.saturating_sub(before);
    println!("{n_opened} sessions; {before} bytes after the first round, {after} after the last");
    // A closed polling session waits for its last poll for half a minute: those few may still be there. The rest is far
    // less than what a session leaves behind that is not let go.
    assert!(grown < 6 << 20, "grew by {grown} bytes from {before}");
}

/// A host that puts everybody into rooms, turns some away and lets some wait.
async fn serve(mut events: Events) {
    let mut n_connects = 0_usize;
    while let Some(event) = events.next().await {
        let mut writes = Writes::new();
        match event {
            HostEvent::Connect { socket, connect_request, .. } => {
                n_connects += 1;
                if n_connects.is_multiple_of(10) {
                    connect_request.refuse("not today", None, &mut writes);
                    continue;
                }
                socket.join(["everybody".to_owned(), format!("room {}", n_connects % 100)]);
                // The client may have gone.
                let _ = connect_request.accept(&mut writes);
            }
            HostEvent::Event { socket, payload, .. } if payload.text() == r#"["away"]"# => {
                drop(socket.disconnect(true, &mut writes));
            }
            HostEvent::Event { ack: Some(ack), payload, .. } => ack.send(&payload, &mut writes),
            _ => {}
        }
    }
}

/// All kinds of clients at once, and then nobody.
async fn round(server: &Server, address: SocketAddr) {
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
    eventually(|| server.engine().n_sessions() == 0).await;
    let main = server.namespace("/");
    eventually(|| main.n_sockets() == 0 && server.metrics().socket_io.host_queue_depth == 0).await;
    assert!(main.rooms().is_empty());
    let metrics = server.metrics();
    assert_eq!((metrics.engine.connections_polling, metrics.engine.connections_websocket), (0, 0));
    assert_eq!((metrics.socket_io.sockets, metrics.socket_io.host_queue_bytes), (0, 0));
    assert_eq!(metrics.engine.connections_opened, metrics.engine.connections_closed);
}

/// One client's life. Whether the server has dropped it for being slow does not matter.
async fn go(way: Way, server: &Server, address: SocketAddr) {
    match way {
        Way::Polite => send_close(websocket(server, WEBSOCKET).await).await,
        Way::CutOff => {
            let mut websocket = joined(server).await;
            websocket.writer.raw(&frame(0x81, br#"42["cut off"]"#)[..9]).await;
        }
        Way::SentAway => {
            let mut websocket = joined(server).await;
            websocket.writer.text(r#"42["away"]"#).await;
            drain(websocket).await;
        }
        Way::Impatient => websocket(server, WEBSOCKET).await.writer.text("40").await,
        Way::HalfRequested => {
            let (near, far) = duplex(64);
            server.engine().serve_channel(far, head(&Method::GET, WEBSOCKET, &UPGRADE), Bytes::new());
            drop(near);
        }
        Way::Garbage => {
            let mut websocket = websocket(server, WEBSOCKET).await;
            websocket.writer.raw(&[0xff; 64]).await;
            drain(websocket).await;
        }
        Way::Carried => {
            let carried =
                server.engine().serve_messages(head(&Method::GET, WEBSOCKET, &UPGRADE)).await.unwrap();
            carried.receive_text("40").await;
            carried.receive_text(r#"421["question"]"#).await;
            carried.next().await;
        }
        Way::Reset => {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let bytes =
                [websocket_request("/socket.io", WEBSOCKET).into_bytes(), frame(0x81, b"40")].concat();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_u8().await;
            stream.set_zero_linger().unwrap();
        }
        Way::HalfSent => {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(b"GET /socket.io/?EIO=4&trans").await;
        }
        Way::PolitePoller => {
            let query = poller(server, POLLING).await;
            request(server, &query, "40").await;
            request(server, &query, "1").await;
        }
        Way::CutOffPoller => {
            let query = poller(server, POLLING).await;
            Http::Memory(server.engine().clone()).abandon(&query).await;
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
            request(server, &query, "40").await;
            let mut probe = websocket_for(server, &query.replace("polling", "websocket")).await;
            probe.writer.text("2probe").await;
            probe.reader.receive().await;
            probe.writer.text("5").await;
            send_close(probe).await;
        }
        Way::Older => {
            let query = poller(server, "EIO=3&transport=polling").await;
            // It is in the main namespace, or kept out, without asking.
            server.engine().handle(head(&Method::GET, &query, &[]), Full::new(Bytes::new())).await;
            request(server, &query, r#"11:42["hello"]"#).await;
            request(server, &query, "1:1").await;
        }
    }
}

async fn websocket_for(server: &Server, query: &str) -> WebSocket {
    let (near, far) = duplex(1024);
    server.engine().serve_channel(far, head(&Method::GET, query, &UPGRADE), Bytes::new());
    WebSocket::accepted(near).await.expect("it is accepted")
}

async fn websocket(server: &Server, query: &str) -> WebSocket {
    let mut websocket = websocket_for(server, query).await;
    websocket.reader.receive().await;
    websocket
}

async fn joined(server: &Server) -> WebSocket {
    let mut websocket = websocket(server, WEBSOCKET).await;
    websocket.writer.text("40").await;
    websocket.reader.receive().await;
    websocket
}

async fn send_close(mut websocket: WebSocket) {
    websocket.writer.text("40").await;
    websocket.writer.frame(CLOSE, &[]).await;
    drain(websocket).await;
}

/// Reads until the server closes.
async fn drain(mut websocket: WebSocket) {
    while !matches!(websocket.reader.receive().await, Message::Closed(_) | Message::Lost) {}
}

/// Opens a polling session, and returns the query of its requests.
async fn poller(server: &Server, query: &str) -> String {
    let opened = server.engine().handle(head(&Method::GET, query, &[]), Full::new(Bytes::new())).await;
    format!("{query}&sid={}", member(text(&opened), "sid"))
}

async fn request(server: &Server, query: &str, body: &str) -> Response<Bytes> {
    server
        .engine()
        .handle(head(&Method::POST, query, &[]), Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .await
}

/// The process's memory that is not shared and not swapped, where the system tells it.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096
}
