//! What the hot paths cost, in instructions and allocations: numbers that do not depend on the load of the machine.
//!
//! `cost PATH N` drives one path N times in memory, with fixed input, on one thread, and prints the allocations of one
//! pass. `bench/cost` runs it under callgrind for two N, so that what comes before and after falls out of the difference.

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
        "handshake" => handshake(n),
        unknown => panic!("no path is named {unknown}"),
    }
}

/// Runs `pass` so often, and prints what one allocates: its calls and bytes.
fn measure(n: usize, mut pass: impl FnMut()) {
    // What is made once, and grows once, is there after the first.
    pass();
    let before = (N_ALLOCATIONS.load(Relaxed), N_BYTES.load(Relaxed));
    for _ in 0..n {
        pass();
    }
    let per_pass = |now: u64, before: u64| (now - before) / n as u64;
    println!(
        "{} {}",
        per_pass(N_ALLOCATIONS.load(Relaxed), before.0),
        per_pass(N_BYTES.load(Relaxed), before.1)
    );
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
        let HostEvent::Event { reply: Some(reply), .. } = host.next() else { panic!("an ack is wanted") };
        reply.send(&answer, &mut Writes::new());
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

/// A client shakes hands, joins the main namespace, and says goodbye.
fn handshake(n: usize) {
    let mut host = Host::new();
    measure(n, || {
        let (sid, _socket) = host.join_by_polling();
        assert_eq!(text(&host.post(&sid, "1")), "ok");
        assert!(matches!(host.next(), HostEvent::Disconnect(_)));
    });
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
        let HostEvent::Connect { socket, admission, .. } = self.next() else { panic!("a client comes") };
        admission.accept(&mut Writes::new()).expect("it is there");
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
