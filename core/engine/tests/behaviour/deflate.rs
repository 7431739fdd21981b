//! Compression of WebSocket messages: what is agreed on, what goes over the wire, and peers that abuse it.

use std::sync::Arc;

use ferrio_engine::{
    Config, Data, Encoded, Frame, ListenOptions, OutboxLimits, PerMessageDeflate, Protocol, SendOptions,
    SlowReader, WindowBits, Writes,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::Method;
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{
    listen::self_signed,
    support::{
        TestServer,
        client::{EntryPoint, Message, websocket_with},
        eventually,
        http::{UPGRADE, head, websocket_request_with},
        in_time,
        recorder::{Content, Manner, Session, Told},
        send, start, start_with,
        websocket::{BINARY, CLOSE, PING, TEXT, WebSocket},
    },
};

const WEBSOCKET: &str = "EIO=4&transport=websocket";
const BYTES: [EntryPoint; 3] = [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver];

/// The bit of a frame's first byte that says that the message is compressed.
const RSV1: u8 = 0x40;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn config(deflate: PerMessageDeflate) -> Config {
    Config { per_message_deflate: Some(deflate), ..Config::default() }
}

async fn start_deflating(deflate: PerMessageDeflate) -> TestServer {
    start(config(deflate)).await
}

fn usual() -> PerMessageDeflate {
    PerMessageDeflate::default()
}

/// A text of so many bytes, which compression halves at least.
fn words(seed: u64, len: usize) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let mut text = String::new();
    while text.len() < len {
        let word = ["price", "volume", "name", "position", "update"][random.random_range(0..5_usize)];
        text.push_str(word);
        text.push_str(&random.random_range(0..100_u8).to_string());
    }
    text.truncate(len);
    text
}

/// A client that compresses.
struct Client {
    websocket: WebSocket,
    extensions: String,
    deflate: Compress,
    inflate: Decompress,
    is_strict: bool,
}

/// What came in one frame.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    is_compressed: bool,
    /// Bytes of the frame's body.
    n_bytes: usize,
    message: Content,
}

impl Client {
    async fn open(test: &TestServer, entry_point: EntryPoint, offer: &str) -> Self {
        let mut client = Self::connect(test, entry_point, WEBSOCKET, offer).await;
        assert!(matches!(client.receive().await.message, Content::Text(open) if open.starts_with('0')));
        client
    }

    async fn connect(test: &TestServer, entry_point: EntryPoint, query: &str, offer: &str) -> Self {
        let headers = [&UPGRADE[..], &[("sec-websocket-extensions", offer)]].concat();
        Self::on(websocket_with(test, entry_point, query, &headers).await.expect("it is accepted"))
    }

    fn on(websocket: WebSocket) -> Self {
        let extensions = websocket.headers.get("sec-websocket-extensions");
        let extensions = extensions.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        Self {
            websocket,
            extensions,
            deflate: Compress::new(Compression::default(), false),
            inflate: Decompress::new(false),
            is_strict: false,
        }
    }

    async fn receive(&mut self) -> Received {
        let (first, body) = self.websocket.reader.frame().await.expect("a frame comes");
        let is_compressed = first & RSV1 != 0;
        let data = match (is_compressed, self.is_strict) {
            (false, _) => body.clone(),
            (true, false) => inflate(&mut self.inflate, &body),
            (true, true) => inflate_strictly(&mut self.inflate, &body),
        };
        let message = match first & !RSV1 {
            TEXT => Content::Text(String::from_utf8(data).unwrap()),
            BINARY => Content::Binary(data),
            other => panic!("unexpected frame {other:#x}"),
        };
        Received { is_compressed, n_bytes: body.len(), message }
    }

    async fn text(&mut self) -> (bool, String) {
        match self.receive().await {
            Received { is_compressed, message: Content::Text(text), .. } => (is_compressed, text),
            other => panic!("a text was due, not {other:?}"),
        }
    }

    /// The status with which the server closes.
    async fn close_code(mut self) -> u16 {
        loop {
            match self.websocket.reader.frame().await {
                Some((CLOSE, body)) => return u16::from_be_bytes(*body.first_chunk().expect("a status")),
                Some(_) => {}
                None => panic!("it closes in good order"),
            }
        }
    }

    fn compressed(&mut self, message: &[u8]) -> Vec<u8> {
        deflate(&mut self.deflate, message)
    }

    async fn send(&mut self, message: &str) {
        let body = self.compressed(message.as_bytes());
        self.websocket.writer.frame(TEXT | RSV1, &body).await;
    }
}

fn deflate(stream: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(message.len() + 1024);
    stream.compress_vec(message, &mut body, FlushCompress::Sync).unwrap();
    assert!(body.len() < body.capacity(), "all of it is out");
    body.truncate(body.len() - TAIL.len());
    body
}

/// Inflates byte by byte, so that a distance beyond the window is noticed.
fn inflate_strictly(stream: &mut Decompress, body: &[u8]) -> Vec<u8> {
    let input = [body, &TAIL].concat();
    let (mut n_read, mut message) = (0, Vec::new());
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let mut byte = [0];
        stream
            .decompress(&input[n_read..], &mut byte, FlushDecompress::Sync)
            .expect("it keeps to the window");
        n_read += usize::try_from(stream.total_in() - read).unwrap();
        if stream.total_out() == written {
            assert_eq!(n_read, input.len());
            return message;
        }
        message.push(byte[0]);
    }
}

fn inflate(stream: &mut Decompress, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 << 20);
    for part in [body, &TAIL] {
        let before = stream.total_in();
        let status = stream.decompress_vec(part, &mut message, FlushDecompress::Sync).unwrap();
        assert_eq!((status, stream.total_in() - before), (Status::Ok, part.len() as u64));
    }
    message
}

async fn opened(test: &mut TestServer, entry_point: EntryPoint, offer: &str) -> (Client, Arc<Session>) {
    let client = Client::open(test, entry_point, offer).await;
    (client, test.heard.opened().await)
}

#[tokio::test]
async fn messages_are_compressed_both_ways_by_every_entry_point_that_has_bytes() {
    for entry_point in BYTES {
        let mut test = start_deflating(usual()).await;
        let (mut client, session) = opened(&mut test, entry_point, "permessage-deflate").await;
        assert_eq!(client.extensions, "permessage-deflate", "{entry_point:?}");
        for seed in 0..20 {
            let text = words(seed, 2000);
            client.send(&format!("4{text}")).await;
            assert_eq!(test.heard.text().await, text);
            send(&session, &text);
            assert_eq!(client.text().await, (true, format!("4{text}")), "{entry_point:?}");
            session.send(&Data::Binary(text.as_bytes().into()), SendOptions::default());
            let received = client.receive().await;
            assert_eq!(received.message, Content::Binary(text.into_bytes()));
            // The same was said just now.
            assert!(received.n_bytes < 100, "{received:?}");
        }
    }
}

#[tokio::test]
async fn messages_are_compressed_before_they_are_encrypted() {
    let mut test = start_deflating(usual()).await;
    let (tls, connector) = self_signed();
    let options = ListenOptions { tls: Some(tls), ..ListenOptions::new("127.0.0.1:0") };
    let listener = test.server.listen(options).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = in_time(connector.connect(name, stream)).await.unwrap();
    let headers = [&UPGRADE[..], &[("sec-websocket-extensions", "permessage-deflate")]].concat();
    let request = websocket_request_with("/engine.io", WEBSOCKET, &headers);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut client = Client::on(WebSocket::accepted(stream).await.expect("it is accepted"));
    client.receive().await;
    let session = test.heard.opened().await;
    for seed in 0..20 {
        let text = words(seed, 30_000);
        client.send(&format!("4{text}")).await;
        assert_eq!(test.heard.text().await, text);
        send(&session, &text);
        assert_eq!(client.text().await, (true, format!("4{text}")));
    }
}

#[tokio::test]
async fn a_session_may_move_to_a_websocket_that_compresses() {
    let mut test = start_deflating(usual()).await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let long = words(0, 5000);
    send(&session, &long);
    let mut websocket =
        Client::connect(&test, EntryPoint::Listen, &client.upgrade_query(), "permessage-deflate").await;
    websocket.send("2probe").await;
    assert_eq!(websocket.text().await, (false, "3probe".to_owned()));
    websocket.send("5").await;
    assert_eq!(websocket.text().await, (true, format!("4{long}")));
}

#[tokio::test]
async fn nothing_is_agreed_on_without_an_offer_or_the_option() {
    for entry_point in BYTES {
        let mut test = start_deflating(usual()).await;
        let (client, session) = test.open(entry_point).await;
        let mut websocket = client.into_websocket();
        assert_eq!(websocket.headers.get("sec-websocket-extensions"), None);
        let long = words(0, 5000);
        send(&session, &long);
        assert_eq!(websocket.reader.receive().await, Message::Text(format!("4{long}")));

        let test = start(Config::default()).await;
        let client = Client::open(&test, entry_point, "permessage-deflate").await;
        assert_eq!(client.extensions, "");
        let client = Client::open(&test, entry_point, ";").await;
        assert_eq!(client.extensions, "", "nobody looks at it");
    }
}

#[tokio::test]
async fn a_header_that_is_none_is_refused() {
    let test = start_deflating(usual()).await;
    for entry_point in BYTES {
        let headers = [&UPGRADE[..], &[("sec-websocket-extensions", "permessage-deflate;")]].concat();
        let refused = websocket_with(&test, entry_point, WEBSOCKET, &headers).await.map(|_| ());
        assert_eq!(refused.expect_err("it is none").status(), 400);
    }
}

#[tokio::test]
async fn a_host_that_frames_messages_itself_gets_them_plain() {
    let mut test = start_deflating(usual()).await;
    let headers = [&UPGRADE[..], &[("sec-websocket-extensions", "permessage-deflate")]].concat();
    let socket = test.server.serve_messages(head(&Method::GET, WEBSOCKET, &headers)).await.unwrap();
    let session = test.heard.opened().await;
    let long = words(0, 5000);
    send(&session, &long);
    let mut received = Vec::new();
    while received.len() < 2 {
        received.extend(in_time(socket.next()).await.expect("it is open"));
    }
    assert_eq!(received[1], ferrio_engine::Outgoing::Text(format!("4{long}").into()));
}

#[tokio::test]
async fn only_what_is_long_enough_and_may_be_is_compressed() {
    let mut test = start_deflating(PerMessageDeflate { threshold: 100, ..usual() }).await;
    let (mut client, session) = opened(&mut test, EntryPoint::Listen, "permessage-deflate").await;
    let plain = SendOptions { compress: false, ..SendOptions::default() };
    // The type of the packet counts.
    for (len, options, is_compressed) in [
        (98, SendOptions::default(), false),
        (99, SendOptions::default(), true),
        (5000, plain, false),
        (5000, SendOptions::default(), true),
    ] {
        let text = words(len as u64, len);
        session.send(&Data::Text(&text), options);
        assert_eq!(client.text().await, (is_compressed, format!("4{text}")));
    }
    let mut noise = vec![0; 5000];
    StdRng::seed_from_u64(1).fill_bytes(&mut noise);
    session.send(&Data::Binary(noise.as_slice().into()), SendOptions::default());
    let received = client.receive().await;
    assert_eq!(received, Received { is_compressed: false, n_bytes: 5000, message: Content::Binary(noise) });
}

#[tokio::test]
async fn a_packet_keeps_its_place_and_its_attachments() {
    let mut test = start_deflating(usual()).await;
    let (mut client, session) = opened(&mut test, EntryPoint::TakeOver, "permessage-deflate").await;
    let long = words(0, 3000);
    let mut writes = Writes::new();
    for number in 0..100 {
        let text = if number % 3 == 0 { format!("{number} {long}") } else { number.to_string() };
        let head = Frame::message_text(&text);
        let attachments = [long.as_bytes(), &[7]].map(|data| Frame::binary(Protocol::V4, data)).to_vec();
        session.push(&Encoded { head, attachments }, SendOptions::default(), &mut writes);
    }
    writes.finish();
    for number in 0..100 {
        let (is_compressed, text) = client.text().await;
        assert_eq!(is_compressed, number % 3 == 0);
        assert_eq!(text[1..].split(' ').next(), Some(&*number.to_string()));
        let first = client.receive().await;
        assert_eq!((first.is_compressed, first.message), (true, Content::Binary(long.as_bytes().to_vec())));
        assert_eq!(client.receive().await.message, Content::Binary(vec![7]));
    }
}

#[tokio::test]
async fn a_packet_for_many_is_the_same_on_every_wire() {
    let mut test = start_deflating(usual()).await;
    let mut clients = Vec::new();
    let offers =
        ["permessage-deflate", "permessage-deflate; server_no_context_takeover", "permessage-deflate", ""];
    for offer in offers {
        clients.push(opened(&mut test, EntryPoint::Listen, offer).await);
    }
    let own = words(1, 2000);
    // What one of them was sent before makes no difference, and what comes later may look back at all of it.
    send(&clients[0].1, &own);
    clients[0].0.text().await;
    let text = words(2, 3000);
    for _ in 0..3 {
        let mut packet = Encoded::from(Frame::message_text(&text));
        packet.set_for_many();
        let mut writes = Writes::new();
        for (_, session) in &clients {
            session.push(&packet, SendOptions::default(), &mut writes);
        }
        writes.finish();
        let mut n_bytes = Vec::new();
        for (client, _) in &mut clients {
            let received = client.receive().await;
            assert_eq!(received.message, Content::Text(format!("4{text}")));
            n_bytes.push(received.n_bytes);
        }
        assert_eq!(n_bytes[..3], [n_bytes[0]; 3]);
        assert_eq!(n_bytes[3], 3001);
    }
    for (client, session) in &mut clients[..3] {
        send(session, &text);
        let received = client.receive().await;
        assert_eq!(received.message, Content::Text(format!("4{text}")));
        let looks_back = client.extensions == "permessage-deflate";
        assert_eq!(received.n_bytes < 100, looks_back, "{}", client.extensions);
    }
}

#[tokio::test]
async fn windows_are_kept_to() {
    for bits in 8..=15_u8 {
        let mut test = start_deflating(usual()).await;
        let offer =
            format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}");
        let (mut client, session) = opened(&mut test, EntryPoint::Listen, &offer).await;
        assert_eq!(client.extensions, offer);
        client.deflate = Compress::new_with_window_bits(Compression::best(), false, bits.max(9));
        client.inflate = Decompress::new_with_window_bits(false, bits.max(9));
        client.is_strict = true;
        for seed in 0..10 {
            let text = words(seed, 20_000);
            send(&session, &text);
            let mut packet = Encoded::from(Frame::message_text(&text));
            packet.set_for_many();
            session.push(&packet, SendOptions::default(), &mut Writes::new());
            for _ in 0..2 {
                assert_eq!(client.text().await, (true, format!("4{text}")), "{bits} bits");
            }
            if bits > 8 {
                client.send(&format!("4{text}")).await;
                assert_eq!(test.heard.text().await, text, "{bits} bits");
            }
        }
    }
}

#[tokio::test]
async fn each_side_compresses_by_itself_what_was_agreed_to_be() {
    let alone = PerMessageDeflate {
        server_no_context_takeover: Some(true),
        client_no_context_takeover: true,
        server_max_window_bits: WindowBits::Exactly(12),
        ..usual()
    };
    let mut test = start_deflating(alone).await;
    let (mut client, session) = opened(&mut test, EntryPoint::Channel, "permessage-deflate").await;
    assert_eq!(
        client.extensions,
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"
    );
    let text = words(0, 3000);
    for _ in 0..3 {
        send(&session, &text);
        client.inflate = Decompress::new(false);
        assert_eq!(client.text().await, (true, format!("4{text}")));
        client.deflate = Compress::new(Compression::fast(), false);
        client.send(&format!("4{text}")).await;
        assert_eq!(test.heard.text().await, text);
    }
    // One that looks back all the same.
    client.send("4abc").await;
    assert_eq!(test.heard.text().await, "abc");
    client.send(&format!("4{text}")).await;
    assert_eq!(client.close_code().await, 1007);
}

#[tokio::test]
async fn without_memory_messages_are_compressed_each_by_itself() {
    let mut test = start_deflating(PerMessageDeflate { max_memory: 0, ..usual() }).await;
    let (mut client, session) = opened(&mut test, EntryPoint::Listen, "permessage-deflate").await;
    assert_eq!(client.extensions, "permessage-deflate; client_no_context_takeover");
    let text = words(0, 3000);
    let mut n_bytes = Vec::new();
    for _ in 0..3 {
        send(&session, &text);
        let received = client.receive().await;
        assert_eq!(received.message, Content::Text(format!("4{text}")));
        n_bytes.push(received.n_bytes);
    }
    assert_eq!(n_bytes, [n_bytes[0]; 3]);
}

#[tokio::test]
async fn fragments_and_empty_messages_are_read() {
    let mut test = start_deflating(usual()).await;
    let (mut client, _session) = opened(&mut test, EntryPoint::Listen, "permessage-deflate").await;
    let text = words(0, 3000);
    for n_pieces in [2, 10, 500] {
        let body = client.compressed(format!("4{text}").as_bytes());
        let pieces: Vec<_> = body.chunks(body.len().div_ceil(n_pieces)).collect();
        for (idx, piece) in pieces.iter().enumerate() {
            let first = if idx == 0 { 0x01 | RSV1 } else { 0x00 };
            let last = if idx + 1 == pieces.len() { 0x80 } else { 0 };
            client.websocket.writer.frame(first | last, piece).await;
            client.websocket.writer.frame(PING, b"between").await;
        }
        assert_eq!(test.heard.text().await, text);
        for _ in &pieces {
            assert_eq!(client.websocket.reader.frame().await.unwrap().1, b"between");
        }
    }
    // Of the binary ones an empty message is one: as RFC 7692 has it, as some clients do, and as a stored block.
    for body in [&[0][..], &[], &[2, 0]] {
        client.websocket.writer.frame(BINARY | RSV1, body).await;
        assert_eq!(test.heard.binary().await, b"");
    }
    client.send(&format!("4{text}")).await;
    assert_eq!(test.heard.text().await, text, "the window is what it was");
}

#[tokio::test]
async fn streams_that_end_are_read_as_section_7_2_3_has_them() {
    let mut test = start_deflating(usual()).await;
    let (client, _session) = opened(&mut test, EntryPoint::Listen, "permessage-deflate").await;
    let mut websocket = client.websocket;
    let hello = *b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let cases = [
        // A last block, and behind it the beginning of the empty one.
        ([&hello[..], &[0]].concat(), "Hello"),
        // Without that.
        (hello.to_vec(), "Hello"),
        // Two streams in one message.
        ([&hello[..], &hello].concat(), "HelloHello"),
        // Two blocks of one.
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00".to_vec(), "Hello"),
        // Not compressed.
        (b"\x00\x05\x00\xfa\xffHello\x00".to_vec(), "Hello"),
        // It looks back at the one before.
        (b"\xf2\x00\x11\x00\x00".to_vec(), "Hello"),
    ];
    for (body, message) in cases {
        websocket.writer.frame(BINARY | RSV1, &body).await;
        assert_eq!(test.heard.binary().await, message.as_bytes(), "{}", body.escape_ascii());
    }
}

#[tokio::test]
async fn what_is_no_compressed_message_is_answered_with_its_status() {
    let mut random = vec![0xff; 3000];
    StdRng::seed_from_u64(7).fill_bytes(&mut random[1..]);
    let hello = *b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let cases: [(&str, u8, Vec<u8>, u16); 14] = [
        ("noise", TEXT | RSV1, random, 1007),
        ("a reserved type of block", TEXT | RSV1, vec![0x07], 1007),
        ("half a message", TEXT | RSV1, b"\xf2\x48\xcd".to_vec(), 1007),
        (
            "with the tail that is to be left out",
            TEXT | RSV1,
            b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff".to_vec(),
            1007,
        ),
        ("noise behind the end", TEXT | RSV1, [&hello[..], &[7]].concat(), 1007),
        ("many streams", TEXT | RSV1, hello.repeat(5), 1007),
        ("it looks back at nothing", TEXT | RSV1, b"\xf2\x00\x11\x00\x00".to_vec(), 1007),
        ("no UTF-8", TEXT | RSV1, deflate(&mut Compress::new(Compression::best(), false), b"4\xff"), 1007),
        ("a compressed ping", PING | RSV1, vec![], 1002),
        ("a compressed close", CLOSE | RSV1, vec![], 1002),
        ("a compressed continuation", 0x80 | RSV1, vec![], 1002),
        ("the second reserved bit", TEXT | 0x20, b"42".to_vec(), 1002),
        ("the third", TEXT | RSV1 | 0x10, b"42".to_vec(), 1002),
        ("a reserved opcode", 0x83 | RSV1, vec![], 1002),
    ];
    for entry_point in BYTES {
        for (name, first, body, status) in &cases {
            let mut test = start_deflating(usual()).await;
            let (mut client, _) = opened(&mut test, entry_point, "permessage-deflate").await;
            client.websocket.writer.frame(*first, body).await;
            assert_eq!(client.close_code().await, *status, "{name} by {entry_point:?}");
            assert_eq!(test.heard.reason().await, "transport error", "{name} by {entry_point:?}");
            test.emptied().await;
        }
    }
}

#[tokio::test]
async fn compressed_messages_where_none_were_agreed_on_break_the_rules() {
    for (deflate, offer) in
        [(None, "permessage-deflate"), (Some(usual()), ""), (Some(usual()), "permessage-deflate; x")]
    {
        let mut test = start(Config { per_message_deflate: deflate, ..Config::default() }).await;
        let (mut client, _) = opened(&mut test, EntryPoint::Listen, offer).await;
        client.send("4hello").await;
        assert_eq!(client.close_code().await, 1002);
    }
}

#[tokio::test]
async fn a_bomb_is_refused_while_it_is_inflated() {
    let max = 100_000;
    let limited = Config { max_http_buffer_size: max, ..config(usual()) };
    for len in [max, max + 1, 90_000_000] {
        for n_fragments in [1, 3] {
            let mut test = start(limited.clone()).await;
            let (mut client, _) = opened(&mut test, EntryPoint::Listen, "permessage-deflate").await;
            let mut body = Vec::with_capacity(len / 500 + 1024);
            let message = vec![b'4'; len];
            client.deflate.compress_vec(&message, &mut body, FlushCompress::Sync).unwrap();
            body.truncate(body.len() - TAIL.len());
            assert!(body.len() < max);
            let pieces: Vec<_> = body.chunks(body.len().div_ceil(n_fragments)).collect();
            for (idx, piece) in pieces.iter().enumerate() {
                let first = if idx == 0 { 0x01 | RSV1 } else { 0x00 };
                let last = if idx + 1 == pieces.len() { 0x80 } else { 0 };
                client.websocket.writer.frame(first | last, piece).await;
            }
            if len <= max {
                assert_eq!(test.heard.text().await.len(), max - 1);
            } else {
                assert_eq!(client.close_code().await, 1009, "{len} bytes");
                assert_eq!(test.heard.reason().await, "transport error");
            }
        }
    }
}

#[tokio::test]
async fn a_message_that_has_to_wait_is_inflated_once() {
    let mut test = start_deflating(usual()).await;
    let gate = test.server.layer().gate.clone();
    gate.shut();
    let (mut client, _session) = opened(&mut test, EntryPoint::Listen, "permessage-deflate").await;
    let texts: Vec<_> = (0..5).map(|seed| words(seed, 3000)).collect();
    for text in &texts {
        client.send(&format!("4{text}")).await;
    }
    eventually(|| gate.n_waited() > 0).await;
    gate.open();
    gate.give_turns(1);
    let mut heard = Vec::new();
    while heard.len() < texts.len() {
        match test.heard.next().await {
            Told::Message(_, Content::Text(text)) => heard.push(text),
            Told::TurnOver => {}
            other => panic!("a message was due, not {other:?}"),
        }
    }
    assert_eq!(heard, texts);
}

#[tokio::test]
async fn much_that_is_inflated_at_once_is_read_to_its_end() {
    let mut test = start_deflating(usual()).await;
    let (mut client, session) = opened(&mut test, EntryPoint::Channel, "permessage-deflate").await;
    let text = "4".to_owned() + &"a".repeat(900_000);
    let mut bytes = Vec::new();
    for _ in 0..40 {
        let body = client.compressed(text.as_bytes());
        bytes.extend(crate::support::websocket::frame(TEXT | RSV1, &body));
    }
    bytes.extend(crate::support::websocket::frame(TEXT, b"4last"));
    client.websocket.writer.raw(&bytes).await;
    for _ in 0..40 {
        assert_eq!(test.heard.text().await.len(), 900_000);
    }
    assert_eq!(test.heard.text().await, "last");
    assert!(session.is_open());
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_whole_packets_and_can_read_the_rest() {
    let outbox = OutboxLimits { max_bytes: 200_000, policy: SlowReader::DropOldest };
    let mut test = start(Config { outbox, ..config(usual()) }).await;
    let (mut client, session) = opened(&mut test, EntryPoint::Channel, "permessage-deflate").await;
    let droppable = SendOptions { is_droppable: true, ..SendOptions::default() };
    let n_packets = 2000;
    for number in 0..n_packets {
        let text = format!("{number} {}", words(number, 3000));
        session.send(&Data::Text(&text), droppable);
        if number % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    send(&session, "last");
    let mut numbers = Vec::new();
    loop {
        let (_, text) = client.text().await;
        if text == "4last" {
            break;
        }
        let (number, rest) = text[1..].split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        assert_eq!(rest, words(number, 3000));
        numbers.push(number);
    }
    assert!(numbers.is_sorted() && numbers.len() < usize::try_from(n_packets).unwrap(), "{}", numbers.len());
    assert!(test.server.metrics().outbox_dropped > 0);
}

#[tokio::test]
async fn traffic_of_many_threads_arrives_in_order() {
    let echo = Manner { echoes: true, ..Manner::default() };
    let mut test = start_with(config(PerMessageDeflate { threshold: 0, ..usual() }), echo).await;
    let (mut client, session) = opened(&mut test, EntryPoint::Listen, "permessage-deflate").await;
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let session = session.clone();
            std::thread::spawn(move || {
                for number in 0..300 {
                    let len = if number % 50 == 0 { 300_000 } else { number * 10 };
                    send(&session, &format!("{thread} {number} {}", words(number as u64, len)));
                }
            })
        })
        .collect();
    let mut next = [0; 3];
    while next != [300; 3] {
        let (_, text) = client.text().await;
        let mut parts = text[1..].split(' ').map(str::parse::<usize>);
        let (Some(Ok(thread)), Some(Ok(number))) = (parts.next(), parts.next()) else { panic!("{text}") };
        assert_eq!(number, next[thread]);
        next[thread] += 1;
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Whatever bytes come, the session ends with a status or goes on, and nothing else happens.
#[tokio::test]
async fn mutilated_messages_harm_nobody() {
    let mut test = start(Config { max_http_buffer_size: 50_000, ..config(usual()) }).await;
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..150 {
        let offer = ["permessage-deflate", "permessage-deflate; client_no_context_takeover"]
            [random.random_range(0..2)];
        let (mut client, _) = opened(&mut test, EntryPoint::Channel, offer).await;
        for seed in 0..5 {
            let mut body = client.compressed(format!("4{}", words(seed, 2000)).as_bytes());
            for _ in 0..random.random_range(0..3) {
                let idx = random.random_range(0..body.len());
                match random.random_range(0..3) {
                    0 => body[idx] = random.random(),
                    1 => body.truncate(idx + 1),
                    _ => {
                        body.insert(idx, random.random());
                    }
                }
            }
            client.websocket.writer.frame(TEXT | RSV1, &body).await;
        }
        client.websocket.writer.frame(CLOSE, b"").await;
        while client.websocket.reader.frame().await.is_some() {}
        while !matches!(test.heard.next().await, Told::Closed(..)) {}
    }
    test.assert_alive().await;
}
