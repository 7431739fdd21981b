//! The server's own port over real sockets: plain and TLS, polite peers and others.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use ferrio_engine::{Admitted, Config, Limits, ListenOptions, Listener, Server, Tls};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use crate::support::{
    in_time,
    recorder::{Heard, Manner, Recorder},
    send,
};

const HANDSHAKE: &str = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n";

const WEBSOCKET: &str = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
     Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server that sends every message back.
struct Fixture {
    server: Server<Recorder>,
    listener: Listener,
    heard: Heard,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.server.close();
    }
}

async fn start(config: Config, options: ListenOptions) -> Fixture {
    let (recorder, heard) = Recorder::new(Manner { echoes: true, ..Manner::default() });
    let server = Server::new(config, recorder).unwrap();
    let listener = server.listen(options).await.unwrap();
    Fixture { server, listener, heard }
}

fn loopback() -> ListenOptions {
    ListenOptions::new("127.0.0.1:0")
}

async fn start_plain() -> Fixture {
    start(Config::default(), loopback()).await
}

/// A server that gives peers little time for a request's head or a TLS handshake.
fn hasty() -> Config {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    Config { limits, ..Config::default() }
}

impl Fixture {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr()).await.unwrap()
    }

    /// Sees that a new client is still served.
    async fn assert_alive(&self) {
        let mut stream = self.connect().await;
        let response = exchange(&mut stream, HANDSHAKE).await;
        assert_eq!(response.status, 200);
    }
}

#[derive(Debug)]
struct HttpResponse {
    status: u16,
    head: String,
    body: String,
}

/// Reads one response; `None` when the server closes without one.
async fn read_response(stream: &mut (impl AsyncRead + Unpin)) -> Option<HttpResponse> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match in_time(stream.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => return None,
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    in_time(stream.read_exact(&mut body)).await.unwrap();
    Some(HttpResponse { status, head, body: String::from_utf8(body).unwrap() })
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> HttpResponse {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_response(stream).await.expect("the server answers")
}

/// Reads until the server closes, in good order or by a reset, and returns what came until then.
async fn read_to_close(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut received = Vec::new();
    let _ = in_time(stream.read_to_end(&mut received)).await;
    received
}

/// A text message of the server that is shorter than 126 bytes.
async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = [0; 2];
    in_time(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[0], 0x81, "one unfragmented text frame");
    assert!(head[1] < 126, "unmasked and short");
    let mut body = vec![0; usize::from(head[1])];
    in_time(stream.read_exact(&mut body)).await.unwrap();
    String::from_utf8(body).unwrap()
}

/// A masked text frame, the mask being zero.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

pub(crate) fn self_signed() -> (Tls, TlsConnector) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls::from_pem(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (tls, TlsConnector::from(Arc::new(config)))
}

async fn start_encrypted(config: Config) -> (Fixture, TlsConnector) {
    let (tls, connector) = self_signed();
    (start(config, ListenOptions { tls: Some(tls), ..loopback() }).await, connector)
}

async fn connect_encrypted(fixture: &Fixture, connector: &TlsConnector) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    in_time(connector.connect(name, fixture.connect().await)).await.unwrap()
}

fn session_id(handshake: &HttpResponse) -> &str {
    handshake.body.split('"').nth(3).expect("the open packet begins with the sid")
}

// Polite clients.

#[tokio::test]
async fn long_polling_keeps_its_connection() {
    let fixture = start_plain().await;
    let mut stream = fixture.connect().await;
    let opened = exchange(&mut stream, HANDSHAKE).await;
    assert_eq!(opened.status, 200);
    assert!(opened.body.starts_with(r#"0{"sid":""#), "{}", opened.body);

    let path = format!("/engine.io/?EIO=4&transport=polling&sid={}", session_id(&opened));
    let post = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n4hello");
    assert_eq!(exchange(&mut stream, &post).await.body, "ok");
    let poll = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(exchange(&mut stream, &poll).await.body, "4hello");
}

#[tokio::test]
async fn what_a_client_sends_behind_its_upgrade_request_is_not_lost() {
    let mut fixture = start_plain().await;
    let mut stream = fixture.connect().await;
    stream.write_all(&[WEBSOCKET.as_bytes(), &frame("4hello")].concat()).await.unwrap();
    let response = read_response(&mut stream).await.expect("the handshake is answered");
    assert_eq!(response.status, 101);
    // The key and its answer are the example of RFC 6455.
    assert!(
        response.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{}",
        response.head
    );
    assert!(read_message(&mut stream).await.starts_with(r#"0{"sid":""#));
    assert_eq!(read_message(&mut stream).await, "4hello");
    assert!(!fixture.heard.opened().await.handshake().head.secure);
}

#[tokio::test]
async fn a_refused_upgrade_is_answered_as_http() {
    let fixture = start_plain().await;
    let mut stream = fixture.connect().await;
    let response = exchange(&mut stream, &WEBSOCKET.replace("EIO=4", "EIO=4&sid=unknown")).await;
    assert_eq!(response.status, 400);
    assert!(read_to_close(&mut stream).await.is_empty());
    fixture.assert_alive().await;
}

#[tokio::test]
async fn tls_serves_polling_and_websocket() {
    let (mut fixture, connector) = start_encrypted(Config::default()).await;
    let mut polling = connect_encrypted(&fixture, &connector).await;
    assert_eq!(exchange(&mut polling, HANDSHAKE).await.status, 200);

    let mut websocket = connect_encrypted(&fixture, &connector).await;
    assert_eq!(exchange(&mut websocket, WEBSOCKET).await.status, 101);
    assert!(read_message(&mut websocket).await.starts_with("0{"));
    websocket.write_all(&frame("4hello")).await.unwrap();
    assert_eq!(read_message(&mut websocket).await, "4hello");
    for transport in ["polling", "websocket"] {
        let session = fixture.heard.opened().await;
        let head = &session.handshake().head;
        assert!(head.secure, "the handshake was encrypted");
        assert_eq!(head.query("transport").as_deref(), Some(transport));
        assert!(head.remote.is_some());
    }
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let fixture = start_plain().await;
    let mut stream = fixture.connect().await;
    for path in ["/", "/engine.iox/", "/favicon.ico"] {
        let response =
            exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(response.status, 404, "{path}");
    }
    let elsewhere = WEBSOCKET.replace("/engine.io/", "/elsewhere/");
    assert_eq!(exchange(&mut stream, &elsewhere).await.status, 404);
}

// Everybody else.

#[tokio::test]
async fn garbage_on_the_port_is_refused() {
    let fixture = start_plain().await;
    let garbage: [&[u8]; 5] = [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /engine.io/?EIO=4&transport=polling\x7f HTTP/9.9\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = fixture.connect().await;
        stream.write_all(bytes).await.unwrap();
        let answer = read_to_close(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", answer.escape_ascii());
    }
    fixture.assert_alive().await;
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let limits = Limits { max_header_bytes: 8 << 10, ..Limits::default() };
    let fixture = start(Config { limits, ..Config::default() }, loopback()).await;
    let long = format!("X-Long: {}\r\n\r\n", "a".repeat(9 << 10));
    let mut stream = fixture.connect().await;
    let response = exchange(&mut stream, &HANDSHAKE.replace("\r\n\r\n", &format!("\r\n{long}"))).await;
    assert_eq!(response.status, 431);
    fixture.assert_alive().await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let fixture = start_plain().await;
    let many = "X: y\r\n".repeat(200);
    let mut stream = fixture.connect().await;
    let response = exchange(&mut stream, &HANDSHAKE.replace("Host: localhost\r\n", &many)).await;
    assert_eq!(response.status, 431);
    fixture.assert_alive().await;
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_cut_off() {
    let fixture = start(hasty(), loopback()).await;
    for begun in ["", "GET /engine.io/", HANDSHAKE.trim_end()] {
        let mut stream = fixture.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert!(read_to_close(&mut stream).await.is_empty(), "there is no answer to {begun:?}");
    }
    fixture.assert_alive().await;
}

#[tokio::test]
async fn a_websocket_outlives_the_time_limit_of_a_head() {
    let fixture = start(hasty(), loopback()).await;
    let mut websocket = fixture.connect().await;
    assert_eq!(exchange(&mut websocket, WEBSOCKET).await.status, 101);
    assert!(read_message(&mut websocket).await.starts_with("0{"));
    // Another connection meets the limit first.
    let mut silent = fixture.connect().await;
    read_to_close(&mut silent).await;
    websocket.write_all(&frame("4hello")).await.unwrap();
    assert_eq!(read_message(&mut websocket).await, "4hello");
}

#[tokio::test]
async fn a_tls_handshake_that_fails_or_stops_is_cut_off() {
    let (fixture, connector) = start_encrypted(hasty()).await;
    let mut plain = fixture.connect().await;
    plain.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    assert!(!read_to_close(&mut plain).await.starts_with(b"HTTP"), "no plain HTTP is spoken");
    let mut stopping = fixture.connect().await;
    stopping.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    assert!(read_to_close(&mut stopping).await.is_empty());

    let mut stream = connect_encrypted(&fixture, &connector).await;
    assert_eq!(exchange(&mut stream, HANDSHAKE).await.status, 200);
}

#[tokio::test]
async fn peers_that_leave_in_the_middle_do_no_harm() {
    let fixture = start_plain().await;
    let cut_body =
        "POST /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n40";
    for begun in ["", "GET /engine.io/?EIO=4", HANDSHAKE, WEBSOCKET, cut_body] {
        let mut closing = fixture.connect().await;
        closing.write_all(begun.as_bytes()).await.unwrap();
        closing.shutdown().await.unwrap();
        read_to_close(&mut closing).await;

        let mut resetting = fixture.connect().await;
        resetting.write_all(begun.as_bytes()).await.unwrap();
        resetting.set_zero_linger().unwrap();
        drop(resetting);
    }
    fixture.assert_alive().await;
}

#[tokio::test]
async fn connections_without_a_request_are_bounded() {
    let fixture = start(Config::default(), ListenOptions { max_pending: 1, ..loopback() }).await;
    let mut busy = fixture.connect().await;
    assert_eq!(exchange(&mut busy, HANDSHAKE).await.status, 200);

    let mut silent = fixture.connect().await;
    let mut waiting = fixture.connect().await;
    let waiting = tokio::spawn(async move { exchange(&mut waiting, HANDSHAKE).await.status });
    // Time enough for a server without the bound to answer the one that waits.
    for _ in 0..50 {
        assert_eq!(exchange(&mut busy, HANDSHAKE).await.status, 200);
    }
    assert!(!waiting.is_finished(), "the place is taken by the silent one");
    assert_eq!(exchange(&mut silent, HANDSHAKE).await.status, 200);
    assert_eq!(in_time(waiting).await.unwrap(), 200);
}

// The port's own life.

#[tokio::test]
async fn a_closed_port_is_free_again_and_its_websockets_go_on() {
    let mut fixture = start_plain().await;
    let mut idle = fixture.connect().await;
    exchange(&mut idle, HANDSHAKE).await;
    let mut websocket = fixture.connect().await;
    exchange(&mut websocket, WEBSOCKET).await;
    assert!(read_message(&mut websocket).await.starts_with("0{"));
    fixture.heard.opened().await;
    let session = fixture.heard.opened().await;

    fixture.listener.close();
    in_time(fixture.listener.closed()).await;
    assert!(read_to_close(&mut idle).await.is_empty(), "an idle connection is closed");
    let address = fixture.listener.local_addr();
    let again = fixture.server.listen(ListenOptions::new(address.to_string())).await.unwrap();
    assert_eq!(again.local_addr(), address);
    fixture.assert_alive().await;

    send(&session, "news");
    assert_eq!(read_message(&mut websocket).await, "4news");
    websocket.write_all(&frame("4hello")).await.unwrap();
    assert_eq!(read_message(&mut websocket).await, "4hello");
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_the_port_was_closed() {
    let (recorder, mut heard) = Recorder::new(Manner { asks_to_admit: true, ..Manner::default() });
    let server = Server::new(Config::default(), recorder).unwrap();
    let listener = server.listen(loopback()).await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let (_, answer) = heard.admit().await;
    listener.close();
    in_time(listener.closed()).await;
    answer.send(Ok(Admitted::default())).unwrap();
    assert_eq!(read_response(&mut stream).await.expect("it is answered").status, 200);
    assert!(read_to_close(&mut stream).await.is_empty(), "it was the connection's last");
}

#[tokio::test]
async fn the_servers_close_frees_its_ports() {
    let fixture = start_plain().await;
    let second = fixture.server.listen(loopback()).await.unwrap();
    fixture.server.close();
    in_time(fixture.listener.closed()).await;
    in_time(second.closed()).await;
    TcpListener::bind(second.local_addr()).await.unwrap();
}

#[tokio::test]
async fn connections_that_have_not_asked_end_with_the_port() {
    for is_servers_end in [false, true] {
        let fixture = start_plain().await;
        let mut silent = fixture.connect().await;
        let mut halfway = fixture.connect().await;
        halfway.write_all(&HANDSHAKE.as_bytes()[..30]).await.unwrap();
        let (encrypted, _) = start_encrypted(Config::default()).await;
        let mut unencrypted = encrypted.connect().await;
        unencrypted.write_all(b"\x16\x03\x01").await.unwrap();
        // Connections are accepted in their order: those before are, too.
        fixture.assert_alive().await;
        let late = encrypted.connect().await;
        for fixture in [&fixture, &encrypted] {
            if is_servers_end { fixture.server.close() } else { fixture.listener.close() }
        }
        for stream in [&mut silent, &mut halfway, &mut unencrypted] {
            assert!(read_to_close(stream).await.is_empty(), "server's end: {is_servers_end}");
        }
        drop(late);
    }
}

#[tokio::test]
async fn requests_that_hide_others_are_refused() {
    let fixture = start_plain().await;
    let hidden = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: hidden\r\n\r\n";
    let headers = [
        format!("Content-Length: 0\r\nContent-Length: {}", hidden.len()),
        "Content-Length: 0\r\nTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        format!("Content-Length: +{}", hidden.len()),
        format!("Content-Length: {}, 0", hidden.len()),
        "Content-Length: -1".to_owned(),
        "Content-Length: 99999999999999999999".to_owned(),
        "X: 1\r\n Content-Length: 5".to_owned(),
    ];
    for header in headers {
        let mut stream = fixture.connect().await;
        let request = format!(
            "POST /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n{hidden}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answers = String::from_utf8(read_to_close(&mut stream).await).unwrap();
        assert!(!answers.contains("\"sid\""), "{header}: what is hidden is not answered: {answers}");
        assert!(answers.is_empty() || answers.starts_with("HTTP/1.1 400"), "{header}: {answers}");
    }
    fixture.assert_alive().await;
}

#[tokio::test]
async fn methods_that_are_not_of_the_engine_are_refused() {
    let fixture = start_plain().await;
    for method in ["HEAD", "TRACE", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let mut stream = fixture.connect().await;
        let request =
            HANDSHAKE.replacen("GET", method, 1).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_to_close(&mut stream).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{method}: {answer}");
    }
    let mut stream = fixture.connect().await;
    stream.write_all(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_response(&mut stream).await.expect("it is answered").status, 404);
    fixture.assert_alive().await;
}

#[tokio::test]
async fn an_older_http_is_served_without_keeping_its_connection() {
    let fixture = start_plain().await;
    let mut stream = fixture.connect().await;
    stream.write_all(HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).await.unwrap();
    let answer = String::from_utf8(read_to_close(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.contains("\"sid\""), "{answer}");
    // There are no upgrades in it.
    let mut stream = fixture.connect().await;
    stream.write_all(WEBSOCKET.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut stream).await.expect("it is answered").status, 400);
}

#[tokio::test]
async fn a_listener_that_is_dropped_leaves_its_port_open() {
    let fixture = start_plain().await;
    let address = fixture.server.listen(loopback()).await.unwrap().local_addr();
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut stream, HANDSHAKE).await.status, 200);
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_an_error() {
    let fixture = start_plain().await;
    let refusal = async |options: ListenOptions| -> io::Error {
        fixture.server.listen(options).await.expect_err("it cannot be had")
    };
    let taken = fixture.listener.local_addr();
    assert_eq!(
        refusal(ListenOptions::on(Some("127.0.0.1"), taken.port())).await.kind(),
        ErrorKind::AddrInUse
    );
    assert_eq!(refusal(ListenOptions::new("127.0.0.1")).await.kind(), ErrorKind::InvalidInput);
    let none_pending = ListenOptions { max_pending: 0, ..loopback() };
    assert_eq!(refusal(none_pending).await.kind(), ErrorKind::InvalidInput);
    fixture.assert_alive().await;
}
