//! Socket.IO over long-polling: what a client hears of its end, who is let in, and clients of the older protocol.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use ferrio::{Admitted, Config, Flags, HostEvent, Payload, Refusal, Writes};

use http::Method;
use tokio::io::AsyncReadExt as _;

use crate::support::{
    Client, TestServer,
    client::{EntryPoint, adopted},
    http::{Http, assert_refused, text},
    in_time, settle, start, start_default,
};

const HANDSHAKE: &str = "EIO=4&transport=polling";
const UNKNOWN_SID: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

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
        (Some(Err("no \"entry\"".to_owned())), r#"{"code":4,"message":"no \"entry\""}"#),
        (None, r#"{"code":4,"message":"Forbidden"}"#),
    ];
    for (decision, expected) in cases {
        let (answer, ()) = tokio::join!(http.get(HANDSHAKE), decide(&mut test, decision));
        assert_refused(&answer, 403, expected);
    }
    let (answer, ()) = tokio::join!(http.get(HANDSHAKE), decide(&mut test, Some(Ok(()))));
    assert_eq!(answer.status(), 200);
}

// Engine.IO 3.

#[tokio::test]
async fn the_host_may_refuse_a_request_with_an_answer_of_its_own() {
    let mut test = start(Config { ask_allow_request: true, ..Config::default() }).await;
    let refuse = async |test: &mut TestServer| {
        let HostEvent::Request { answer, .. } = test.host.next().await else { panic!("the host is asked") };
        answer.send(Err(Refusal::unauthorized(r#"{"why":["not","you"]}"#.to_owned())));
    };
    let http = Http::memory(&test);
    let (answer, ()) = tokio::join!(http.get(HANDSHAKE), refuse(&mut test));
    assert_refused(&answer, 401, r#"{"why":["not","you"]}"#);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let mut stream = adopted(test.server.engine(), "EIO=4&transport=websocket").await;
    refuse(&mut test).await;
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"why\":[\"not\",\"you\"]}"), "{answer}");
}

#[tokio::test]
async fn the_first_messages_of_a_session_come_with_its_open_packet() {
    let mut test = start(Config { ask_allow_request: true, ..Config::default() }).await;
    let guard = Arc::new(());
    let admitted = || Admitted {
        id: Some("mine".into()),
        messages: vec![
            ferrio::Message::Text("first".into()),
            ferrio::Message::Binary(Bytes::from_static(&[1, 2, 3])),
        ],
        guard: Some(Box::new(guard.clone())),
        ..Admitted::default()
    };
    let http = Http::memory(&test);
    let admit = async |test: &mut TestServer| {
        let HostEvent::Request { answer, .. } = test.host.next().await else { panic!("the host is asked") };
        answer.send(Ok(admitted()));
    };
    let (answer, ()) = tokio::join!(http.get(HANDSHAKE), admit(&mut test));
    let packets: Vec<_> = text(&answer).split('\x1e').collect();
    assert!(packets[0].starts_with(r#"0{"sid":"mine""#), "{packets:?}");
    assert_eq!(packets[1..], ["4first", "bAQID"]);
    assert_eq!(Arc::strong_count(&guard), 1, "the session is open");
    // One whose id is taken never opens.
    let (answer, ()) = tokio::join!(http.get(HANDSHAKE), admit(&mut test));
    assert_eq!(answer.status(), 400);
    assert_eq!(Arc::strong_count(&guard), 1);
}

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
