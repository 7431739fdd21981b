//! Long-polling: when a GET is answered and with what, what a POST may bring, and who is turned away.

use std::{convert::Infallible, future::poll_fn, io::Read, pin::pin, task::Poll};

use bytes::Bytes;
use ferrio::{Admitted, Config, Cookie, Cors, Flags, HostEvent, Payload, Refusal, Transports, Writes};
use flate2::read::GzDecoder;
use futures_util::stream;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;

use crate::support::{
    Client, SOON, TestServer,
    client::{EntryPoint, Message},
    eventually,
    http::{Http, assert_refused, head, text},
    in_time, start, start_default,
};

const HANDSHAKE: &str = "EIO=4&transport=polling";
const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;
const UNKNOWN_SID: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

fn event(number: usize) -> Payload {
    Payload::event("n", [number.to_string().as_str()])
}

/// Drives a future until it has nothing to do but wait.
async fn settle<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "it has to wait");
        Poll::Ready(())
    })
    .await;
}

// GET.

#[tokio::test]
async fn a_poll_waits_until_there_is_something_to_say() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    socket.emit(&event(1), Flags::default(), &mut Writes::new());
    let answer = poll.await;
    assert_eq!(text(&answer), r#"42["n",1]"#);
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=UTF-8");
    assert_eq!(answer.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn everything_of_one_batch_comes_in_one_answer() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    let mut writes = Writes::new();
    (0..3).for_each(|number| socket.emit(&event(number), Flags::default(), &mut writes));
    writes.finish();
    assert_eq!(text(&poll.await), "42[\"n\",0]\x1e42[\"n\",1]\x1e42[\"n\",2]");
}

#[tokio::test]
async fn an_answer_has_at_most_sixteen_packets() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Handle).await;
    let mut writes = Writes::new();
    (0..40).for_each(|number| socket.emit(&event(number), Flags::default(), &mut writes));
    writes.finish();
    let mut numbers = Vec::new();
    for n_expected in [16, 16, 8] {
        let answer = client.polling().get().await;
        let packets: Vec<_> = text(&answer).split('\x1e').map(str::to_owned).collect();
        assert_eq!(packets.len(), n_expected);
        numbers.extend(packets);
    }
    let expected: Vec<_> = (0..40).map(|number| format!(r#"42["n",{number}]"#)).collect();
    assert_eq!(numbers, expected);

    // The last answers of a session that the server closes are no exception.
    let mut writes = Writes::new();
    (0..40).for_each(|number| socket.emit(&event(number), Flags::default(), &mut writes));
    socket.disconnect(true, &mut writes);
    writes.finish();
    let mut received = Vec::new();
    while !matches!(received.last(), Some(Message::Closed(_) | Message::Lost)) {
        let answer = client.polling().get().await;
        assert!(text(&answer).split('\x1e').count() <= 16, "{}", text(&answer));
        received.extend(text(&answer).split('\x1e').map(|packet| match packet {
            "1" => Message::Closed(None),
            packet => Message::Text(packet.to_owned()),
        }));
    }
    assert_eq!(received.len(), 40 + 3, "all events, the disconnect, a noop and the end: {received:?}");
    assert_eq!(client.receive().await, Message::Lost, "the session is over");
}

#[tokio::test]
async fn a_volatile_event_needs_a_poll_that_waits() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let volatile = Flags { volatile: true, ..Flags::default() };
    socket.emit(&event(1), volatile, &mut Writes::new());
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    socket.emit(&event(2), volatile, &mut Writes::new());
    assert_eq!(text(&poll.await), r#"42["n",2]"#);
    assert_eq!(test.server.metrics().engine.volatile_dropped, 1);
}

#[tokio::test]
async fn a_second_poll_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let mut first = pin!(client.polling().get());
    settle(first.as_mut()).await;
    assert_refused(&client.polling().get().await, 400, BAD_REQUEST);
    assert_eq!(text(&first.await), "1");
    assert_eq!(test.host.reason().await, "transport error");
    assert_refused(&client.polling().get().await, 400, UNKNOWN_SID);
}

#[tokio::test]
async fn a_poll_is_answered_at_once_when_the_client_says_goodbye() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let polling = client.polling();
    let mut poll = pin!(polling.get());
    settle(poll.as_mut()).await;
    assert_eq!(text(&polling.http.post(&polling.query, b"1").await), "ok");
    assert_eq!(text(&poll.await), "6");
    assert_eq!(test.host.reason().await, "transport close");
    assert_refused(&polling.get().await, 400, UNKNOWN_SID);
}

#[tokio::test]
async fn a_closed_session_says_so_at_the_next_poll_and_then_is_unknown() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    drop(socket.disconnect(true, &mut Writes::new()));
    assert_eq!(test.server.engine().n_sessions(), 0);
    // Official clients take a close before the events that came in the same answer.
    assert_eq!(text(&client.polling().get().await), "41");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    assert_refused(&client.polling().get().await, 400, UNKNOWN_SID);

    let (client, _) = test.join(EntryPoint::Handle).await;
    client.polling().http.post(&client.polling().query, b"42/unknown,[\"a\"]").await;
    assert_eq!(test.host.reason().await, "forced server close");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
}

#[tokio::test]
async fn a_poll_that_waits_hears_of_the_end() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    drop(socket.disconnect(true, &mut Writes::new()));
    assert_eq!(text(&poll.await), "41");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");

    let (client, _) = test.join(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    settle(poll.as_mut()).await;
    test.server.close();
    assert_eq!(text(&poll.await), "1");
}

#[tokio::test]
async fn a_poll_that_is_abandoned_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    client.polling().http.abandon(&client.polling().query).await;
    assert_eq!(test.host.reason().await, "transport error");
    test.emptied().await;
}

// POST.

#[tokio::test]
async fn a_post_may_bring_any_number_of_packets() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let packets: Vec<_> = (0..100).map(|number| format!(r#"42["n",{number}]"#)).collect();
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, packets.join("\x1e").as_bytes()).await), "ok");
    for packet in packets {
        assert_eq!(format!("42{}", test.host.event().await.1.text()), packet);
    }
}

#[tokio::test]
async fn a_second_post_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let polling = client.polling();
    let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let mut first = pin!(test.server.engine().handle(head(&Method::POST, &polling.query, &[]), endless));
    settle(first.as_mut()).await;
    assert_refused(&polling.http.post(&polling.query, b"42[\"a\"]").await, 400, BAD_REQUEST);
    assert_eq!(test.host.reason().await, "transport error");
}

#[tokio::test]
async fn a_body_that_trickles_in_does_not_outlive_its_session() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let polling = client.polling();
    let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let mut post = pin!(test.server.engine().handle(head(&Method::POST, &polling.query, &[]), endless));
    settle(post.as_mut()).await;
    drop(socket.disconnect(true, &mut Writes::new()));
    assert_refused(&in_time(post).await, 400, BAD_REQUEST);
    assert_eq!(text(&polling.get().await), "41");
}

#[tokio::test]
async fn a_body_of_goodbyes_is_answered_at_once() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Port).await;
    let polling = client.polling();
    let goodbyes = vec!["1"; 100_000].join("\x1e");
    assert_eq!(text(&polling.http.post(&polling.query, goodbyes.as_bytes()).await), "ok");
    assert_eq!(test.host.reason().await, "transport close");
    assert_refused(&polling.get().await, 400, UNKNOWN_SID);
}

#[tokio::test]
async fn a_post_that_is_too_long_is_refused_and_the_session_goes_on() {
    let mut test = start(Config {
        engine: ferrio_engine::Config { max_http_buffer_size: 1000, ..Config::default().engine },
        ..Config::default()
    })
    .await;
    let (mut client, _) = test.join(EntryPoint::Handle).await;
    let long = format!(r#"42["{}"]"#, "a".repeat(1000));
    let polling = client.polling();
    let answer = polling.http.post(&polling.query, long.as_bytes()).await;
    assert_eq!(answer.status(), 413);

    // A body that does not announce its length is counted as it comes.
    let pieces = (0..2000).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"4"))));
    let unannounced = StreamBody::new(stream::iter(pieces));
    let answer = test.server.engine().handle(head(&Method::POST, &polling.query, &[]), unannounced).await;
    assert_eq!(answer.status(), 413);

    client.send(r#"42["short"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["short"]"#);
}

#[tokio::test]
async fn a_post_in_pieces_is_put_together() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let pieces = [r"42[", r#""pi"#, "", r#"eces"]"#];
    let body = StreamBody::new(stream::iter(
        pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece)))),
    ));
    let answer = test.server.engine().handle(head(&Method::POST, &client.polling().query, &[]), body).await;
    assert_eq!(text(&answer), "ok");
    assert_eq!(test.host.event().await.1.text(), r#"["pieces"]"#);
}

#[tokio::test]
async fn a_post_whose_client_goes_away_ends_the_session() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let pieces = [Ok(Frame::data(Bytes::from_static(b"42[\"ha"))), Err(std::io::Error::other("reset"))];
    let request = head(&Method::POST, &client.polling().query, &[]);
    let answer = test.server.engine().handle(request, StreamBody::new(stream::iter(pieces))).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(test.host.reason().await, "transport error");
}

#[tokio::test]
async fn what_is_no_payload_ends_the_session() {
    let malformed: [&[u8]; 6] = [b"", b"7", b"\x1e", b"42[\"a\"]\x1e", b"4\xff", b"b???"];
    for body in malformed {
        let mut test = start_default().await;
        let (client, _) = test.join(EntryPoint::Handle).await;
        let answer = client.polling().http.post(&client.polling().query, body).await;
        assert_refused(&answer, 400, BAD_REQUEST);
        let mut reason = test.host.next().await;
        while let HostEvent::Event { .. } = reason {
            reason = test.host.next().await;
        }
        let HostEvent::Disconnect(departure) = reason else { panic!("{reason:?}") };
        assert_eq!(departure.reason().as_str(), "parse error", "{}", body.escape_ascii());
    }
}

#[tokio::test]
async fn a_binary_post_is_not_of_this_protocol() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let polling = client.polling();
    let binary = [("content-type", "application/octet-stream")];
    let answer = polling.http.request(Method::POST, &polling.query, &binary, b"4a").await;
    assert_refused(&answer, 400, BAD_REQUEST);
    assert_eq!(test.host.reason().await, "transport error");
}

// Who is turned away.

#[tokio::test]
async fn wrong_requests_get_the_protocols_codes() {
    let mut test = start_default().await;
    let (client, _) = test.join(EntryPoint::Handle).await;
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
    test.host.assert_silent();
    assert_eq!(test.server.metrics().engine.requests_refused, 2 * cases.len() as u64);
}

#[tokio::test]
async fn a_transport_can_be_switched_off() {
    let transports = Transports { polling: false, websocket: true };
    let test = start(Config {
        engine: ferrio_engine::Config { transports, ..Config::default().engine },
        ..Config::default()
    })
    .await;
    let answer = Http::memory(&test).get(HANDSHAKE).await;
    assert_refused(&answer, 400, r#"{"code":0,"message":"Transport unknown"}"#);

    let transports = Transports { polling: true, websocket: false };
    let test = start(Config {
        engine: ferrio_engine::Config { transports, ..Config::default().engine },
        ..Config::default()
    })
    .await;
    let client = test.open(EntryPoint::Handle).await;
    assert!(client.open.contains(r#""upgrades":[]"#), "{}", client.open);
    let refused =
        crate::support::client::websocket(&test, EntryPoint::Listen, "EIO=4&transport=websocket").await;
    let refused = refused.err().expect("it is refused");
    assert_refused(&refused, 400, "Transport unknown");
}

#[tokio::test]
async fn the_host_is_asked_about_requests() {
    let mut test = start(Config { ask_allow_request: true, ..Config::default() }).await;
    let http = Http::memory(&test);
    let decide = async |test: &mut TestServer, decision: Option<Result<(), String>>| {
        let HostEvent::Request { head, answer } = test.host.next().await else { panic!("the host is asked") };
        assert_eq!(head.query("transport").as_deref(), Some("polling"));
        if let Some(decision) = decision {
            answer.send(decision.map(|()| Admitted::default()).map_err(Refusal::forbidden));
        }
    };
    let cases = [
        (Some(Err("no \"guests\"".to_owned())), r#"{"code":4,"message":"no \"guests\""}"#),
        (None, r#"{"code":4,"message":"Forbidden"}"#),
    ];
    for (decision, expected) in cases {
        let (answer, ()) = tokio::join!(http.get(HANDSHAKE), decide(&mut test, decision));
        assert_refused(&answer, 403, expected);
    }
    let (answer, ()) = tokio::join!(http.get(HANDSHAKE), decide(&mut test, Some(Ok(()))));
    assert_eq!(answer.status(), 200);
}

// Headers.

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_accept_it() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let polling = client.polling();
    let long = Payload::event("long", [format!("\"{}\"", "again ".repeat(500)).as_str()]);
    let accepting = [("accept-encoding", "gzip, deflate, br")];
    let plain = format!("42{}", long.text());

    socket.emit(&long, Flags::default(), &mut Writes::new());
    let answer = polling.http.request(Method::GET, &polling.query, &accepting, b"").await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(answer.body().len() < plain.len() / 10);
    let mut inflated = String::new();
    GzDecoder::new(&**answer.body()).read_to_string(&mut inflated).unwrap();
    assert_eq!(inflated, plain);

    for (flags, headers) in
        [(Flags::default(), &[][..]), (Flags { compress: false, ..Flags::default() }, &accepting[..])]
    {
        socket.emit(&long, flags, &mut Writes::new());
        let answer = polling.http.request(Method::GET, &polling.query, headers, b"").await;
        assert!(!answer.headers().contains_key("content-encoding"));
        assert_eq!(text(&answer), plain);
    }
}

#[tokio::test]
async fn a_handshake_sets_the_cookie_and_nothing_else_does() {
    let test = start(Config {
        engine: ferrio_engine::Config { cookie: Some(Cookie::default()), ..Config::default().engine },
        ..Config::default()
    })
    .await;
    let http = Http::memory(&test);
    let opened = http.get(HANDSHAKE).await;
    let sid = crate::support::member(text(&opened), "sid");
    assert_eq!(opened.headers()["set-cookie"], format!("io={sid}; Path=/; HttpOnly; SameSite=Lax").as_str());
    let posted = http.post(&format!("{HANDSHAKE}&sid={sid}"), b"41/unknown,").await;
    assert!(!posted.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn cross_origin_headers_are_on_every_answer() {
    let cors = Cors { credentials: true, ..Cors::default() };
    let test = start(Config {
        engine: ferrio_engine::Config { cors: Some(cors), ..Config::default().engine },
        ..Config::default()
    })
    .await;
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
    start(Config {
        engine: ferrio_engine::Config { allow_eio3: true, ..Config::default().engine },
        ..Config::default()
    })
    .await
}

fn picture() -> Payload {
    let text = r#"["p",{"_placeholder":true,"num":0}]"#;
    Payload::new(text, vec![Bytes::from_static(&[1, 2, 3])])
}

#[tokio::test]
async fn an_older_client_is_in_the_main_namespace_without_asking() {
    let mut test = start_eio3().await;
    for query in ["EIO=3&transport=polling", "transport=polling"] {
        let mut client = Client::poll(Http::memory(&test), query).await;
        let socket = test.host.accept().await;
        assert_eq!(&**socket.id(), client.session_id(), "such clients take the one for the other");
        assert_eq!(client.text().await, "40");
    }
}

#[tokio::test]
async fn an_older_client_gets_binary_in_the_form_it_takes() {
    let mut test = start_eio3().await;
    let packet = r#"451-["p",{"_placeholder":true,"num":0}]"#;
    for (suffix, content_type, expected) in [
        (
            "",
            "application/octet-stream",
            [b"\x00\x03\x09\xff".as_slice(), packet.as_bytes(), b"\x01\x04\xff\x04\x01\x02\x03"].concat(),
        ),
        ("&b64=1", "text/plain; charset=UTF-8", format!("39:{packet}6:b4AQID").into_bytes()),
    ] {
        let client = Client::poll(Http::memory(&test), &format!("EIO=3&transport=polling{suffix}")).await;
        let socket = test.host.accept().await;
        assert_eq!(text(&client.polling().get().await), "2:40");
        socket.emit(&picture(), Flags::default(), &mut Writes::new());
        let answer = client.polling().get().await;
        assert_eq!(answer.headers()["content-type"], content_type);
        assert_eq!(answer.body().escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[tokio::test]
async fn an_older_client_sends_binary_in_either_form() {
    let mut test = start_eio3().await;
    let client = Client::poll(Http::memory(&test), "EIO=3&transport=polling").await;
    test.host.accept().await;
    let polling = client.polling();
    let packet = r#"451-["p",{"_placeholder":true,"num":0}]"#;
    let base64 = format!("39:{packet}6:b4AQID");
    assert_eq!(text(&polling.http.post(&polling.query, base64.as_bytes()).await), "ok");
    assert_eq!(test.host.event().await.1, picture());
    let body = [b"\x00\x03\x09\xff".as_slice(), packet.as_bytes(), b"\x01\x04\xff\x04\x01\x02\x03"].concat();
    let binary = [("content-type", "application/octet-stream")];
    assert_eq!(text(&polling.http.request(Method::POST, &polling.query, &binary, &body).await), "ok");
    assert_eq!(test.host.event().await.1, picture());
}

#[tokio::test]
async fn an_older_client_pings_and_is_answered() {
    let mut test = start(Config {
        engine: ferrio_engine::Config {
            allow_eio3: true,
            ping_interval: SOON,
            ping_timeout: SOON,
            ..Config::default().engine
        },
        ..Config::default()
    })
    .await;
    let mut client = Client::poll(Http::memory(&test), "EIO=3&transport=polling").await;
    test.host.accept().await;
    assert_eq!(client.text().await, "40");
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, b"1:2").await), "ok");
    assert_eq!(text(&polling.get().await), "1:3");
    // It falls silent.
    assert_eq!(test.host.reason().await, "ping timeout");
}

#[tokio::test]
async fn jsonp_calls_a_function_and_takes_a_form() {
    let mut test = start_eio3().await;
    let http = Http::memory(&test);
    let query = "EIO=3&transport=polling&j=3";
    let opened = http.get(query).await;
    let script = text(&opened);
    assert_eq!(opened.headers()["content-type"], "text/javascript; charset=UTF-8");
    assert!(script.starts_with(r#"___eio[3]("9"#) && script.ends_with("\");"), "{script}");
    let (_, sid) = script.split_once(r#"\"sid\":\""#).expect("the session's id");
    let query = format!("{query}&sid={}", &sid[..20]);
    let socket = test.host.accept().await;
    assert_eq!(text(&http.get(&query).await), r#"___eio[3]("2:40");"#);

    let form = "d=18%3A42%5B%22a%22%2C%22b%5C%5Cnc%22%5D%0A";
    let answer = http.post(&query, form.replace("18", "14").trim_end_matches("%0A").as_bytes()).await;
    assert_eq!(text(&answer), "ok");
    assert_eq!(test.host.event().await.1.text(), r#"["a","b\nc"]"#);

    let separators = Payload::event("a", ["\"\u{2028}</script>\""]);
    socket.emit(&separators, Flags::default(), &mut Writes::new());
    let answer = http.get(&query).await;
    assert!(text(&answer).contains(r"\u2028") && !text(&answer).contains('\u{2028}'), "{}", text(&answer));
}

#[tokio::test]
async fn silent_polling_clients_time_out() {
    let config = Config {
        engine: ferrio_engine::Config { ping_interval: SOON, ping_timeout: SOON, ..Config::default().engine },
        ..Config::default()
    };
    let mut test = start(config).await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    // It reads its ping but does not answer.
    assert_eq!(text(&client.polling().get().await), "2");
    assert_eq!(test.host.reason().await, "ping timeout");
    eventually(|| test.server.engine().n_sessions() == 0).await;
    assert_refused(&client.polling().get().await, 400, UNKNOWN_SID);
}
