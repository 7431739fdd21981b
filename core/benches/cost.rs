//! What the hot paths cost, in instructions and allocations: numbers that do not depend on the load of the machine.
//!
//! `cost PATH N` drives one path N times in memory, with fixed input, on one thread, and prints the allocations of one
//! pass. `bench/cost` runs it under callgrind for two N, so that what comes before and after falls out of the difference.
//! That thread is the main one, or, where a task of the server has its part in a pass, the I/O thread with both: no pass
//! waits for another thread, so every run executes the same.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ferrio::{
    Config, Events, Flags, HostEvent, MessageSocket, Payload, RequestHead, Selection, Server, Socket, Writes,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// A hundred bytes, as in `bench/run`.
const TEXT: &str =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// Receivers of a broadcast.
const N_RECEIVERS: usize = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, n] = arguments.as_slice() else {
        // `cargo test` and `cargo bench` call it without any.
        return;
    };
    let n: usize = n.parse().expect("the number of passes");
    // An I/O thread that is started in the middle would be counted.
    let runtime = ferrio::runtime();
    let _entered = runtime.enter();
    match path.as_str() {
        "event" => event(n),
        "ack" => ack(n),
        "emit" => emit(n),
        "broadcast" => broadcast(n),
        "poll" => poll(n),
        "handshake" => runtime.block_on(runtime.spawn(handshake(n))).expect("it ends"),
        "websocket" => runtime.block_on(runtime.spawn(websocket(n))).expect("it ends"),
        unknown => panic!("no path is named {unknown}"),
    }
}

/// Runs `pass` so often, and prints what one allocates.
fn measure(n: usize, mut pass: impl FnMut()) {
    let mut passes = Passes::default();
    for _ in 0..=n {
        passes.begin();
        pass();
    }
    passes.print();
}

// The paths.

/// An event comes in, and the host takes it.
fn event(n: usize) {
    let (mut host, client, _) = joined();
    let packet = format!(r#"42["event","{TEXT}"]"#);
    measure(n, || {
        now(client.receive_text(&packet));
        assert!(matches!(host.next(), HostEvent::Event { .. }));
    });
}

/// An event comes in, the host answers it, and the ack goes out.
fn ack(n: usize) {
    let (mut host, client, _) = joined();
    let packet = format!(r#"421["event","{TEXT}"]"#);
    let answer = Payload::new(format!(r#"["{TEXT}"]"#), Vec::new());
    measure(n, || {
        now(client.receive_text(&packet));
        let HostEvent::Event { ack: Some(ack), .. } = host.next() else { panic!("an ack is wanted") };
        ack.send(&answer, &mut Writes::new());
        assert_eq!(until(client.next()).expect("the ack").len(), 1);
    });
}

/// An event goes out to one client.
fn emit(n: usize) {
    let (_host, client, socket) = joined();
    let payload = event_payload();
    measure(n, || {
        socket.emit(&payload, Flags::default(), &mut Writes::new());
        assert_eq!(until(client.next()).expect("the event").len(), 1);
    });
}

/// An event goes out to a room of many.
fn broadcast(n: usize) {
    let mut host = Host::new();
    let clients: Vec<_> = (0..N_RECEIVERS)
        .map(|_| {
            let (client, socket) = host.join();
            socket.join(["room"]);
            client
        })
        .collect();
    let payload = event_payload();
    let selection = Selection::all().to("room");
    let namespace = host.server.namespace("/");
    measure(n, || {
        let mut writes = Writes::new();
        namespace.emit(&selection, &payload, Flags::default(), &mut writes);
        for client in &clients {
            assert_eq!(until(client.next()).expect("the event").len(), 1);
        }
        // The tasks that it starts find everything taken already, and are no part of the path.
        std::mem::forget(writes);
    });
}

/// A poll waits, and an event answers it.
fn poll(n: usize) {
    let mut host = Host::new();
    let (sid, socket) = host.join_by_polling();
    let payload = event_payload();
    let query = format!("EIO=4&transport=polling&sid={sid}");
    measure(n, || {
        let mut poll = pin!(host.server.engine().handle(head(Method::GET, &query), Full::new(Bytes::new())));
        assert!(step(poll.as_mut()).is_pending(), "nothing is there to answer it");
        socket.emit(&payload, Flags::default(), &mut Writes::new());
        let Poll::Ready(answer) = step(poll) else { panic!("the event answers it") };
        assert_eq!(answer.status(), 200);
    });
}

/// A client shakes hands, joins the main namespace, and disconnects.
async fn handshake(n: usize) {
    let mut host = Host::new();
    let mut passes = Passes::default();
    for _ in 0..=n {
        passes.begin();
        let (sid, _socket) = host.join_by_polling();
        assert_eq!(text(&host.post(&sid, "1")), "ok");
        assert!(matches!(host.next(), HostEvent::Disconnect(_)));
        // The server's deadlines have changed, and their task takes note.
        tokio::task::yield_now().await;
    }
    passes.print();
}

/// An event comes in and the host sends it back, each as a frame of a WebSocket.
async fn websocket(n: usize) {
    let mut host = Host::new();
    let (mut client, stream) = tokio::io::duplex(64 << 10);
    host.server.engine().serve_channel(stream, head(Method::GET, "EIO=4&transport=websocket"), Bytes::new());
    let mut status = *b"HTTP/1.1 ...";
    client.read_exact(&mut status).await.expect("the answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    read_behind(&mut client, b"\r\n\r\n").await;
    // The open packet, and then CONNECT, each with one object.
    read_behind(&mut client, b"}").await;
    client.write_all(&masked("40")).await.expect("it is read");
    let Some(HostEvent::Connect { connect_request, .. }) = host.events.next().await else {
        panic!("a client comes")
    };
    connect_request.accept(&mut Writes::new()).expect("it is there");
    read_behind(&mut client, b"}").await;

    let event = format!(r#"42["event","{TEXT}"]"#);
    let frame = masked(&event);
    let mut echo = vec![0; 2 + event.len()];
    let mut passes = Passes::default();
    for _ in 0..=n {
        passes.begin();
        client.write_all(&frame).await.expect("it is read");
        let Some(HostEvent::Event { socket, payload, .. }) = host.events.next().await else {
            panic!("an event comes")
        };
        socket.emit(&payload, Flags::default(), &mut Writes::new());
        client.read_exact(&mut echo).await.expect("the echo");
        assert_eq!(&echo[2..], event.as_bytes());
    }
    passes.print();
}

// What they need.

struct Host {
    server: Server,
    events: Events,
    taken: Vec<HostEvent>,
}

impl Host {
    fn new() -> Self {
        let (server, events) = Server::new(Config::default(), || {}).expect("the defaults are valid");
        server.namespace("/");
        Self { server, events, taken: Vec::new() }
    }

    fn next(&mut self) -> HostEvent {
        self.events.drain(1, &mut self.taken);
        self.taken.pop().expect("an event is due")
    }

    fn accept(&mut self) -> Arc<Socket> {
        let HostEvent::Connect { socket, connect_request, .. } = self.next() else {
            panic!("a client comes")
        };
        connect_request.accept(&mut Writes::new()).expect("it is there");
        socket
    }

    fn join(&mut self) -> (MessageSocket, Arc<Socket>) {
        let request = head(Method::GET, "EIO=4&transport=websocket");
        let client = now(self.server.engine().serve_messages(request)).expect("it is accepted");
        now(client.receive_text("40"));
        let socket = self.accept();
        // The open packet and CONNECT, in as many answers as they like.
        let mut n_messages = 0;
        while n_messages < 2 {
            n_messages += until(client.next()).expect("it is open").len();
        }
        (client, socket)
    }

    fn join_by_polling(&mut self) -> (String, Arc<Socket>) {
        let opened = self.request(Method::GET, "EIO=4&transport=polling", "");
        let sid = text(&opened).split('"').nth(3).expect("an id").to_owned();
        assert_eq!(text(&self.post(&sid, "40")), "ok");
        let socket = self.accept();
        let query = format!("EIO=4&transport=polling&sid={sid}");
        assert!(text(&self.request(Method::GET, &query, "")).starts_with("40"));
        (sid, socket)
    }

    fn post(&self, sid: &str, body: &str) -> Response<Bytes> {
        self.request(Method::POST, &format!("EIO=4&transport=polling&sid={sid}"), body)
    }

    fn request(&self, method: Method, query: &str, body: &str) -> Response<Bytes> {
        until(
            self.server
                .engine()
                .handle(head(method, query), Full::new(Bytes::copy_from_slice(body.as_bytes()))),
        )
    }
}

fn joined() -> (Host, MessageSocket, Arc<Socket>) {
    let mut host = Host::new();
    let (client, socket) = host.join();
    (host, client, socket)
}

fn event_payload() -> Payload {
    Payload::event("event", [format!("\"{TEXT}\"").as_str()])
}

fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).expect("a text")
}

fn head(method: Method, query: &str) -> RequestHead {
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    RequestHead::new(method, format!("/socket.io/?{query}").parse().expect("a target"), headers, None)
}

/// The key is the example of RFC 6455.
const HEADERS: [(&str, &str); 6] = [
    ("host", "localhost:3000"),
    ("user-agent", "bench"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Reads up to the first place where `end` stands, and over it.
async fn read_behind(stream: &mut DuplexStream, end: &[u8]) {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        read.push(stream.read_u8().await.expect("the stream goes on"));
    }
}

/// A client's frame with this text, which is short.
fn masked(text: &str) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let n_bytes = u8::try_from(text.len()).expect("it is short");
    assert!(n_bytes < 126, "its length has the short form");
    let mut frame = vec![0x81, 0x80 | n_bytes];
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn step<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The outcome of a future that has nothing to wait for.
fn now<F: Future>(future: F) -> F::Output {
    let Poll::Ready(outcome) = step(pin!(future)) else { panic!("it has to wait") };
    outcome
}

/// The outcome of a future that may have to wait a moment.
fn until<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(outcome) = step(future.as_mut()) {
            return outcome;
        }
        std::thread::yield_now();
    }
}

// The allocator.

static N_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static N_BYTES: AtomicU64 = AtomicU64::new(0);

/// Counts what passes allocate, but for the first: what is made once, and grows once, is there after that.
#[derive(Default)]
struct Passes {
    n_begun: u64,
    /// Calls and bytes at the end of the first.
    before: (u64, u64),
}

impl Passes {
    fn begin(&mut self) {
        self.n_begun += 1;
        if self.n_begun == 2 {
            self.before = allocated();
        }
    }

    /// Prints what one allocates: calls and bytes.
    fn print(&self) {
        let n = self.n_begun - 1;
        let now = allocated();
        println!("{} {}", (now.0 - self.before.0) / n, (now.1 - self.before.1) / n);
    }
}

fn allocated() -> (u64, u64) {
    (N_ALLOCATIONS.load(Relaxed), N_BYTES.load(Relaxed))
}

struct Counting;

// SAFETY: the system's allocator does everything.
#[expect(unsafe_code, reason = "there is no safe way to count allocations")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATIONS.fetch_add(1, Relaxed);
        N_BYTES.fetch_add(layout.size() as u64, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
