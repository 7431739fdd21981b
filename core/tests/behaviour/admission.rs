//! Who is let in: at once, later, or not; and what is sent to a client meanwhile.

use ferrio::{
    ClientDisconnected, Config, Cors, Flags, HostEvent, Origin, OriginDecision, Payload, Recovery, Selection,
    Writes,
};
use http::Method;

use crate::support::{
    SOON,
    client::{EntryPoint, websocket},
    eventually,
    http::{Http, text},
    member, start, start_default,
};

fn event(name: &str) -> Payload {
    Payload::event(name, [])
}

#[tokio::test]
async fn a_client_may_be_let_in_later_and_from_another_thread() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (socket, _, connect_request) = test.host.connect().await;
    // Others come and go meanwhile.
    test.assert_alive().await;
    assert!(!socket.is_connected());
    std::thread::spawn(move || connect_request.accept(&mut Writes::new())).join().unwrap().unwrap();
    assert!(client.text().await.starts_with("40{"));
    assert!(socket.is_connected());
}

#[tokio::test]
async fn what_is_sent_before_the_admission_follows_the_connect_packet() {
    for recovery in [None, Some(Recovery::default())] {
        for entry_point in EntryPoint::ALL {
            let mut test = start(Config { recovery, ..Config::default() }).await;
            let mut client = test.open(entry_point).await;
            client.send("40").await;
            let (socket, _, connect_request) = test.host.connect().await;
            socket.emit(&event("early"), Flags::default(), &mut Writes::new());
            let volatile = Flags { volatile: true, ..Flags::default() };
            socket.emit(&event("volatile"), volatile, &mut Writes::new());
            let to_all = Selection::all();
            test.main().emit(&to_all, &event("not for it"), Flags::default(), &mut Writes::new());
            connect_request.accept(&mut Writes::new()).unwrap();
            socket.emit(&event("late"), Flags::default(), &mut Writes::new());
            assert!(client.text().await.starts_with("40{"), "{entry_point:?}");
            assert!(client.text().await.starts_with(r#"42["early""#), "{entry_point:?}");
            assert!(client.text().await.starts_with(r#"42["late""#), "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_the_host_never_decides_about_is_refused() {
    for asks_for_origins in [false, true] {
        let cors = Cors { origin: Origin::Ask, enforce: true, ..Cors::default() };
        let config = Config {
            engine: ferrio_engine::Config {
                cors: asks_for_origins.then_some(cors),
                ..Config::default().engine
            },
            ask_allow_request: !asks_for_origins,
            connect_timeout: SOON,
            ..Config::default()
        };
        // Nobody takes the questions.
        let test = start(config).await;
        let origin = [("origin", "https://example.com")];
        let http = Http::tcp(&test);
        let answer = http.request(Method::GET, "EIO=4&transport=polling", &origin, b"").await;
        assert_eq!(answer.status(), if asks_for_origins { 400 } else { 403 });
        let entry_points =
            if asks_for_origins { &[][..] } else { &[EntryPoint::Listen, EntryPoint::TakeOver] };
        for &entry_point in entry_points {
            let refused = websocket(&test, entry_point, "EIO=4&transport=websocket").await;
            assert_eq!(refused.err().expect("it is refused").status(), 400, "{entry_point:?}");
        }
        assert_eq!(test.server.engine().n_sessions(), 0);
    }
}

#[tokio::test]
async fn the_host_is_asked_about_an_origin_once_for_a_session() {
    let cors = Cors { origin: Origin::Ask, enforce: true, ..Cors::default() };
    let mut test = start(Config {
        engine: ferrio_engine::Config { cors: Some(cors), ..Config::default().engine },
        ..Config::default()
    })
    .await;
    let http = Http::memory(&test);
    let origin = [("origin", "https://example.com")];
    let opening = http.request(Method::GET, "EIO=4&transport=polling", &origin, b"");
    let (opened, ()) = tokio::join!(opening, async {
        let HostEvent::Origin { answer, .. } = test.host.next().await else { panic!("it asks") };
        answer.send(OriginDecision::Reflect);
    });
    let query = format!("EIO=4&transport=polling&sid={}", member(text(&opened), "sid"));
    // Nobody is there to answer.
    let posted = http.request(Method::POST, &query, &origin, b"40").await;
    assert_eq!((posted.status().as_u16(), text(&posted)), (200, "ok"));
    assert_eq!(posted.headers()["access-control-allow-origin"], "https://example.com");
    assert!(matches!(test.host.next().await, HostEvent::Connect { .. }));
    test.host.assert_silent();
    // Another origin is another question.
    let elsewhere = [("origin", "https://example.org")];
    let polling = http.request(Method::GET, &query, &elsewhere, b"");
    let (refused, ()) = tokio::join!(polling, async {
        let HostEvent::Origin { answer, .. } = test.host.next().await else { panic!("it asks") };
        answer.send(OriginDecision::Refused);
    });
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn a_client_that_is_forgotten_is_refused() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (_, _, connect_request) = test.host.connect().await;
    drop(connect_request);
    assert_eq!(client.text().await, r#"44{"message":"Connection refused by server"}"#);
    // It may try again on the same connection.
    test.join_with(&mut client, "40").await;
}

#[tokio::test]
async fn a_message_of_refusal_may_have_any_characters() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Listen).await;
    client.send("40").await;
    let (_, _, connect_request) = test.host.connect().await;
    connect_request.refuse("\"quoted\"\n\u{1f980}", None, &mut Writes::new());
    assert_eq!(client.text().await, "44{\"message\":\"\\\"quoted\\\"\\n\u{1f980}\"}");
}

#[tokio::test]
async fn a_client_that_left_before_was_never_there() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let mut client = test.open(entry_point).await;
        client.send("40").await;
        let (socket, _, connect_request) = test.host.connect().await;
        socket.join(["room"]);
        client.close().await;
        test.emptied().await;
        assert_eq!(test.host.connect_aborted().await.key(), socket.key());
        assert_eq!(connect_request.socket().key(), socket.key());
        assert_eq!(connect_request.accept(&mut Writes::new()), Err(ClientDisconnected), "{entry_point:?}");
        assert!(!socket.is_connected(), "{entry_point:?}");
        assert!(test.main().rooms().is_empty(), "{entry_point:?}");
        assert_eq!(test.server.metrics().socket_io.sockets, 0, "{entry_point:?}");
        test.host.assert_silent();
    }
}

#[tokio::test]
async fn a_socket_is_found_from_its_admission_until_its_disconnected_is_finished() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (socket, _, connect_request) = test.host.connect().await;
    assert!(test.server.socket(socket.key()).is_none() && test.main().socket(socket.id()).is_none());
    connect_request.accept(&mut Writes::new()).unwrap();
    assert!(test.server.socket(socket.key()).is_some() && test.main().socket(socket.id()).is_some());
    client.close().await;
    let disconnected = test.host.disconnected().await;
    assert!(test.server.socket(socket.key()).is_some());
    disconnected.finish();
    assert!(test.server.socket(socket.key()).is_none() && test.main().socket(socket.id()).is_none());
}

#[tokio::test]
async fn a_socket_joined_late_stays_out() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Channel).await;
    client.close().await;
    test.host.disconnected().await.finish();
    socket.join(["room"]);
    socket.emit(&event("nobody hears"), Flags::default(), &mut Writes::new());
    assert!(socket.disconnect(true, &mut Writes::new()).is_empty());
    assert!(test.main().rooms().is_empty());
    eventually(|| test.server.engine().n_sessions() == 0).await;
}
