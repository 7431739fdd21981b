//! Long-polling: when a GET is answered and with what, what a POST may bring, and who is turned away.

use std::{convert::Infallible, io::Read, pin::pin};

use bytes::Bytes;
use ferrio_engine::{CloseReason, Config, Cookie, Cors, Data, SendOptions, Transports, Writes};
use flate2::read::GzDecoder;
use futures_util::stream;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;

use crate::support::{
    Client, SOON, TestServer,
    client::{EntryPoint, Message, websocket},
    eventually,
    http::{Http, assert_refused, head, text},
    in_time, member, push,
    recorder::Told,
    send, settle, start, start_default,
};

const HANDSHAKE: &str = "EIO=4&transport=polling";
const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;
const UNKNOWN_SID: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

// GET.

#[tokio::test]
async fn a_poll_waits_until_there_is_something_to_say() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    send(&session, "1");
    let answer = poll.await;
    assert_eq!(text(&answer), "41");
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=UTF-8");
    assert_eq!(answer.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn everything_of_one_batch_comes_in_one_answer() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    let mut writes = Writes::new();
    (0..3).for_each(|number| push(&session, &number.to_string(), &mut writes));
    writes.finish();
    assert_eq!(text(&poll.await), "40\x1e41\x1e42");
}

#[tokio::test]
async fn an_answer_has_at_most_sixteen_packets() {
    let mut test = start_default().await;
    let (mut client, session) = test.open(EntryPoint::Handle).await;
    let mut writes = Writes::new();
    (0..40).for_each(|number| push(&session, &number.to_string(), &mut writes));
    writes.finish();
    let mut numbers = Vec::new();
    for n_expected in [16, 16, 8] {
        let answer = client.polling().get().await;
        let packets: Vec<_> = text(&answer).split('\x1e').map(str::to_owned).collect();
        assert_eq!(packets.len(), n_expected);
        numbers.extend(packets);
    }
    let expected: Vec<_> = (0..40).map(|number| format!("4{number}")).collect();
    assert_eq!(numbers, expected);

    // The last answers of a session that the server closes are no exception.
    let mut writes = Writes::new();
    (0..40).for_each(|number| push(&session, &number.to_string(), &mut writes));
    writes.finish();
    session.close(CloseReason::ForcedClose);
    let mut received = Vec::new();
    while !matches!(received.last(), Some(Message::Closed(_) | Message::Lost)) {
        let answer = client.polling().get().await;
        assert!(text(&answer).split('\x1e').count() <= 16, "{}", text(&answer));
        received.extend(text(&answer).split('\x1e').map(|packet| match packet {
            "1" => Message::Closed(None),
            packet => Message::Text(packet.to_owned()),
        }));
    }
    assert_eq!(received.len(), 40 + 2, "all messages, a noop and the end: {received:?}");
    assert_eq!(client.receive().await, Message::Lost, "the session is over");
}

#[tokio::test]
async fn a_volatile_message_needs_a_poll_that_waits() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let volatile = SendOptions { volatile: true, ..SendOptions::default() };
    session.send(&Data::Text("1"), volatile);
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    session.send(&Data::Text("2"), volatile);
    assert_eq!(text(&poll.await), "42");
    assert_eq!(test.server.metrics().volatile_dropped, 1);
}

#[tokio::test]
async fn a_second_poll_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let mut first = pin!(client.polling().get());
    settle(first.as_mut()).await;
    assert_refused(&client.polling().get().await, 400, BAD_REQUEST);
    assert_eq!(text(&first.await), "1");
    assert_eq!(test.heard.reason().await, "transport error");
    assert_refused(&client.polling().get().await, 400, UNKNOWN_SID);
}

#[tokio::test]
async fn a_poll_is_answered_at_once_when_the_client_sends_close() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let polling = client.polling();
    let mut poll = pin!(polling.get());
    settle(poll.as_mut()).await;
    assert_eq!(text(&polling.http.post(&polling.query, b"1").await), "ok");
    assert_eq!(text(&poll.await), "6");
    assert_eq!(test.heard.reason().await, "transport close");
    assert_refused(&polling.get().await, 400, UNKNOWN_SID);
}

#[tokio::test]
async fn a_closed_session_says_so_at_the_next_poll_and_then_is_unknown() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    send(&session, "last");
    session.close(CloseReason::ForcedClose);
    assert_eq!(test.server.n_sessions(), 0);
    // Official clients take a close before the events that came in the same answer.
    assert_eq!(text(&client.polling().get().await), "4last");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    assert_refused(&client.polling().get().await, 400, UNKNOWN_SID);
    assert_eq!(test.heard.reason().await, "forced close");

    let (client, session) = test.open(EntryPoint::Handle).await;
    session.close(CloseReason::ForcedClose);
    assert_eq!(test.heard.reason().await, "forced close");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
}

#[tokio::test]
async fn a_poll_that_waits_hears_of_the_end() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    let mut writes = Writes::new();
    push(&session, "last", &mut writes);
    session.close(CloseReason::ForcedClose);
    writes.finish();
    assert_eq!(text(&poll.await), "4last");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    assert_eq!(test.heard.reason().await, "forced close");

    let (client, _) = test.open(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    test.server.close();
    assert_eq!(text(&poll.await), "1");
}

#[tokio::test]
async fn a_poll_that_is_abandoned_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    client.polling().http.abandon(&client.polling().query).await;
    assert_eq!(test.heard.reason().await, "transport error");
    test.emptied().await;
}

// POST.

#[tokio::test]
async fn a_post_may_bring_any_number_of_packets() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let packets: Vec<_> = (0..100).map(|number| format!("4{number}")).collect();
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, packets.join("\x1e").as_bytes()).await), "ok");
    for packet in packets {
        assert_eq!(format!("4{}", test.heard.text().await), packet);
    }
}

#[tokio::test]
async fn a_second_post_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let polling = client.polling();
    let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let mut first = pin!(test.server.handle(head(&Method::POST, &polling.query, &[]), endless));
    settle(first.as_mut()).await;
    assert_refused(&polling.http.post(&polling.query, b"4a").await, 400, BAD_REQUEST);
    assert_eq!(test.heard.reason().await, "transport error");
}

#[tokio::test]
async fn a_body_that_trickles_in_does_not_outlive_its_session() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let polling = client.polling();
    let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let mut post = pin!(test.server.handle(head(&Method::POST, &polling.query, &[]), endless));
    settle(post.as_mut()).await;
    send(&session, "last");
    session.close(CloseReason::ForcedClose);
    assert_refused(&in_time(post).await, 400, BAD_REQUEST);
    assert_eq!(text(&polling.get().await), "4last");
}

#[tokio::test]
async fn a_body_of_close_packets_is_answered_at_once() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Port).await;
    let polling = client.polling();
    let close_packets = vec!["1"; 100_000].join("\x1e");
    assert_eq!(text(&polling.http.post(&polling.query, close_packets.as_bytes()).await), "ok");
    assert_eq!(test.heard.reason().await, "transport close");
    assert_refused(&polling.get().await, 400, UNKNOWN_SID);
}

#[tokio::test]
async fn a_post_that_is_too_long_is_refused_and_the_session_goes_on() {
    let mut test = start(Config { max_http_buffer_size: 1000, ..Config::default() }).await;
    let (mut client, _) = test.open(EntryPoint::Handle).await;
    let long = format!("4{}", "a".repeat(1000));
    let polling = client.polling();
    let answer = polling.http.post(&polling.query, long.as_bytes()).await;
    assert_eq!(answer.status(), 413);

    // A body that does not announce its length is counted as it comes.
    let pieces = (0..2000).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"4"))));
    let unannounced = StreamBody::new(stream::iter(pieces));
    let answer = test.server.handle(head(&Method::POST, &polling.query, &[]), unannounced).await;
    assert_eq!(answer.status(), 413);

    client.send("4short").await;
    assert_eq!(test.heard.text().await, "short");
}

#[tokio::test]
async fn a_post_in_pieces_is_put_together() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let pieces = ["4", "pi", "", "eces"];
    let body = StreamBody::new(stream::iter(
        pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece)))),
    ));
    let answer = test.server.handle(head(&Method::POST, &client.polling().query, &[]), body).await;
    assert_eq!(text(&answer), "ok");
    assert_eq!(test.heard.text().await, "pieces");
}

#[tokio::test]
async fn a_post_whose_client_goes_away_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let pieces = [Ok(Frame::data(Bytes::from_static(b"4ha"))), Err(std::io::Error::other("reset"))];
    let request = head(&Method::POST, &client.polling().query, &[]);
    let answer = test.server.handle(request, StreamBody::new(stream::iter(pieces))).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(test.heard.reason().await, "transport error");
}

#[tokio::test]
async fn what_is_no_payload_ends_the_session() {
    let malformed: [&[u8]; 6] = [b"", b"7", b"\x1e", b"4a\x1e", b"4\xff", b"b???"];
    for body in malformed {
        let mut test = start_default().await;
        let (client, _) = test.open(EntryPoint::Handle).await;
        let answer = client.polling().http.post(&client.polling().query, body).await;
        assert_refused(&answer, 400, BAD_REQUEST);
        let mut reason = test.heard.next().await;
        while let Told::Message(..) = reason {
            reason = test.heard.next().await;
        }
        let Told::Closed(_, reason) = reason else { panic!("{reason:?}") };
        assert_eq!(reason.as_str(), "parse error", "{}", body.escape_ascii());
    }
}

#[tokio::test]
async fn a_binary_post_is_not_of_this_protocol() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let polling = client.polling();
    let binary = [("content-type", "application/octet-stream")];
    let answer = polling.http.request(Method::POST, &polling.query, &binary, b"4a").await;
    assert_refused(&answer, 400, BAD_REQUEST);
    assert_eq!(test.heard.reason().await, "transport error");
}

// Who is turned away.

#[tokio::test]
async fn wrong_requests_get_the_protocols_codes() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    let sid = client.session_id();
    let unknown_transport = r#"{"code":0,"message":"Transport unknown"}"#;
    let bad_method = r#"{"code":2,"message":"Bad handshake method"}"#;
    let unsupported = r#"{"code":5,"message":"Unsupported protocol version"}"#;
    let cases = [
        (Method::GET, "EIO=4".to_owned(), unknown_transport),
        (Method::GET, "EIO=4&transport=carrier-pigeon".to_owned(), unknown_transport),
        (Method::GET, format!("EIO=4&sid={sid}"), unknown_transport),
        (Method::GET, "EIO=4&transport=polling&sid=unknown".to_owned(), UNKNOWN_SID),
        (Method::POST, "EIO=4&transport=polling&sid=unknown".to_owned(), UNKNOWN_SID),
        (Method::POST, HANDSHAKE.to_owned(), bad_method),
        (Method::OPTIONS, HANDSHAKE.to_owned(), bad_method),
        (Method::GET, "EIO=3&transport=polling".to_owned(), unsupported),
        (Method::GET, "transport=polling".to_owned(), unsupported),
        (Method::GET, "EIO=5&transport=polling".to_owned(), unsupported),
        (Method::GET, "EIO=4&transport=websocket".to_owned(), BAD_REQUEST),
        (Method::GET, format!("EIO=4&transport=websocket&sid={sid}"), BAD_REQUEST),
        (Method::GET, format!("EIO=3&transport=polling&sid={sid}"), BAD_REQUEST),
        (Method::PUT, format!("EIO=4&transport=polling&sid={sid}"), BAD_REQUEST),
    ];
    for http in [Http::memory(&test), Http::tcp(&test)] {
        for (method, query, expected) in &cases {
            let answer = http.request(method.clone(), query, &[], b"").await;
            assert_refused(&answer, 400, expected);
            assert_eq!(answer.headers()["content-type"], "application/json");
        }
    }
    test.heard.assert_silent();
    assert_eq!(test.server.metrics().requests_refused, 2 * cases.len() as u64);
}

#[tokio::test]
async fn a_transport_can_be_switched_off() {
    let transports = Transports { polling: false, websocket: true };
    let test = start(Config { transports, ..Config::default() }).await;
    let answer = Http::memory(&test).get(HANDSHAKE).await;
    assert_refused(&answer, 400, r#"{"code":0,"message":"Transport unknown"}"#);

    let transports = Transports { polling: true, websocket: false };
    let mut test = start(Config { transports, ..Config::default() }).await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    assert!(client.open.contains(r#""upgrades":[]"#), "{}", client.open);
    let refused = websocket(&test, EntryPoint::Listen, "EIO=4&transport=websocket").await;
    let refused = refused.err().expect("it is refused");
    assert_refused(&refused, 400, "Transport unknown");
}

// Headers.

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_accept_it() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let polling = client.polling();
    let long = "again ".repeat(500);
    let accepting = [("accept-encoding", "gzip, deflate, br")];
    let plain = format!("4{long}");

    send(&session, &long);
    let answer = polling.http.request(Method::GET, &polling.query, &accepting, b"").await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(answer.body().len() < plain.len() / 10);
    let mut inflated = String::new();
    GzDecoder::new(&**answer.body()).read_to_string(&mut inflated).unwrap();
    assert_eq!(inflated, plain);

    let uncompressed = SendOptions { compress: false, ..SendOptions::default() };
    for (options, headers) in [(SendOptions::default(), &[][..]), (uncompressed, &accepting[..])] {
        session.send(&Data::Text(&long), options);
        let answer = polling.http.request(Method::GET, &polling.query, headers, b"").await;
        assert!(!answer.headers().contains_key("content-encoding"));
        assert_eq!(text(&answer), plain);
    }
}

#[tokio::test]
async fn a_handshake_sets_the_cookie_and_nothing_else_does() {
    let test = start(Config { cookie: Some(Cookie::default()), ..Config::default() }).await;
    let http = Http::memory(&test);
    let opened = http.get(HANDSHAKE).await;
    let sid = member(text(&opened), "sid");
    assert_eq!(opened.headers()["set-cookie"], format!("io={sid}; Path=/; HttpOnly; SameSite=Lax").as_str());
    let posted = http.post(&format!("{HANDSHAKE}&sid={sid}"), b"4hello").await;
    assert!(!posted.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn cross_origin_headers_are_on_every_answer() {
    let cors = Cors { credentials: true, ..Cors::default() };
    let test = start(Config { cors: Some(cors), ..Config::default() }).await;
    let http = Http::memory(&test);
    let origin = [("origin", "https://example.com")];
    for query in [HANDSHAKE, "EIO=4&transport=unknown"] {
        let answer = http.request(Method::GET, query, &origin, b"").await;
        assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{query}");
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true", "{query}");
    }
    let preflight = [origin[0], ("access-control-request-method", "POST")];
    let answer = http.request(Method::OPTIONS, HANDSHAKE, &preflight, b"").await;
    assert_eq!(answer.status(), 204);
    let without = start_default().await;
    let answer = Http::memory(&without).request(Method::GET, HANDSHAKE, &origin, b"").await;
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
}

// Engine.IO 3.

async fn start_eio3() -> TestServer {
    start(Config { allow_eio3: true, ..Config::default() }).await
}

#[tokio::test]
async fn an_older_client_gets_binary_in_the_form_it_takes() {
    let mut test = start_eio3().await;
    for (suffix, content_type, expected) in [
        ("", "application/octet-stream", b"\x00\x02\xff4p\x01\x04\xff\x04\x01\x02\x03".as_slice()),
        ("&b64=1", "text/plain; charset=UTF-8", b"2:4p6:b4AQID"),
    ] {
        let client = Client::poll(Http::memory(&test), &format!("EIO=3&transport=polling{suffix}")).await;
        let session = test.heard.opened().await;
        send(&session, "p");
        session.send(&Data::Binary((&[1, 2, 3]).into()), SendOptions::default());
        let answer = client.polling().get().await;
        assert_eq!(answer.headers()["content-type"], content_type);
        assert_eq!(answer.body().escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[tokio::test]
async fn an_older_client_sends_binary_in_either_form() {
    let mut test = start_eio3().await;
    let client = Client::poll(Http::memory(&test), "EIO=3&transport=polling").await;
    test.heard.opened().await;
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, b"2:4p6:b4AQID").await), "ok");
    assert_eq!(test.heard.text().await, "p");
    assert_eq!(test.heard.binary().await, [1, 2, 3]);
    let body = b"\x00\x02\xff4p\x01\x04\xff\x04\x01\x02\x03";
    let binary = [("content-type", "application/octet-stream")];
    assert_eq!(text(&polling.http.request(Method::POST, &polling.query, &binary, body).await), "ok");
    assert_eq!(test.heard.text().await, "p");
    assert_eq!(test.heard.binary().await, [1, 2, 3]);
}

#[tokio::test]
async fn an_older_client_pings_and_is_answered() {
    let mut test =
        start(Config { allow_eio3: true, ping_interval: SOON, ping_timeout: SOON, ..Config::default() })
            .await;
    let client = Client::poll(Http::memory(&test), "EIO=3&transport=polling").await;
    test.heard.opened().await;
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, b"1:2").await), "ok");
    assert_eq!(text(&polling.get().await), "1:3");
    // It falls silent.
    assert_eq!(test.heard.reason().await, "ping timeout");
}

#[tokio::test]
async fn jsonp_calls_a_function_and_takes_a_form() {
    let mut test = start_eio3().await;
    let http = Http::memory(&test);
    let query = "EIO=3&transport=polling&j=3";
    let opened = http.get(query).await;
    let script = text(&opened);
    assert_eq!(opened.headers()["content-type"], "text/javascript; charset=UTF-8");
    assert!(script.starts_with(r#"___eio[3]("118:0{"#) && script.ends_with("\");"), "{script}");
    let (_, sid) = script.split_once(r#"\"sid\":\""#).expect("the session's id");
    let query = format!("{query}&sid={}", &sid[..20]);
    let session = test.heard.opened().await;
    send(&session, "hello");
    assert_eq!(text(&http.get(&query).await), r#"___eio[3]("6:4hello");"#);

    // A line break and one that the message itself has escaped.
    for (form, message) in [(&b"d=4%3A4b%5Cnc"[..], "b\nc"), (b"d=5%3A4b%5C%5Cnc", r"b\nc")] {
        assert_eq!(text(&http.post(&query, form).await), "ok");
        assert_eq!(test.heard.text().await, message);
    }

    send(&session, "\"\u{2028}</script>\"");
    let answer = http.get(&query).await;
    assert!(text(&answer).contains(r"\u2028") && !text(&answer).contains('\u{2028}'), "{}", text(&answer));
}

#[tokio::test]
async fn jsonp_is_served_in_both_revisions() {
    let mut test = start_default().await;
    let http = Http::memory(&test);
    let query = "EIO=4&transport=polling&j=3";
    let opened = http.get(query).await;
    assert!(text(&opened).starts_with(r#"___eio[3]("0{"#), "{}", text(&opened));
    let (_, sid) = text(&opened).split_once(r#"\"sid\":\""#).expect("the session's id");
    let query = format!("{query}&sid={}", &sid[..20]);
    let session = test.heard.opened().await;
    assert_eq!(text(&http.post(&query, b"d=40").await), "ok");
    assert_eq!(test.heard.text().await, "0");
    send(&session, "0{");
    assert!(text(&http.get(&query).await).starts_with(r#"___eio[3]("40{"#));
}

#[tokio::test]
async fn silent_polling_clients_time_out() {
    let config = Config { ping_interval: SOON, ping_timeout: SOON, ..Config::default() };
    let mut test = start(config).await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    // It reads its ping but does not answer.
    assert_eq!(text(&client.polling().get().await), "2");
    assert_eq!(test.heard.reason().await, "ping timeout");
    eventually(|| test.server.n_sessions() == 0).await;
    assert_refused(&client.polling().get().await, 400, UNKNOWN_SID);
}
