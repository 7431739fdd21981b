//! Who is let in: at once, later, or not; and what is sent to a client meanwhile.

use ferrio::{Config, Flags, Gone, Payload, Recovery, Selection, Writes};

use crate::support::{client::Door, eventually, start, start_default};

fn event(name: &str) -> Payload {
    Payload::event(name, [])
}

#[tokio::test]
async fn a_client_may_be_let_in_later_and_from_another_thread() {
    let mut test = start_default().await;
    let mut client = test.open(Door::Stream).await;
    client.send("40").await;
    let (socket, _, admission) = test.host.connect().await;
    // Others come and go meanwhile.
    test.assert_alive().await;
    assert!(!socket.is_connected());
    std::thread::spawn(move || admission.accept(&mut Writes::new())).join().unwrap().unwrap();
    assert!(client.text().await.starts_with("40{"));
    assert!(socket.is_connected());
}

#[tokio::test]
async fn what_is_sent_before_the_admission_follows_the_connect_packet() {
    for recovery in [None, Some(Recovery::default())] {
        for door in Door::ALL {
            let mut test = start(Config { recovery, ..Config::default() }).await;
            let mut client = test.open(door).await;
            client.send("40").await;
            let (socket, _, admission) = test.host.connect().await;
            socket.emit(&event("early"), Flags::default(), &mut Writes::new());
            let volatile = Flags { volatile: true, ..Flags::default() };
            socket.emit(&event("volatile"), volatile, &mut Writes::new());
            let to_all = Selection::all();
            test.main().emit(&to_all, &event("not for it"), Flags::default(), &mut Writes::new());
            admission.accept(&mut Writes::new()).unwrap();
            socket.emit(&event("late"), Flags::default(), &mut Writes::new());
            assert!(client.text().await.starts_with("40{"), "{door:?}");
            assert!(client.text().await.starts_with(r#"42["early""#), "{door:?}");
            assert!(client.text().await.starts_with(r#"42["late""#), "{door:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_is_forgotten_is_refused() {
    let mut test = start_default().await;
    let mut client = test.open(Door::Stream).await;
    client.send("40").await;
    let (_, _, admission) = test.host.connect().await;
    drop(admission);
    assert_eq!(client.text().await, r#"44{"message":"Connection refused by server"}"#);
    // It may try again on the same connection.
    test.join_with(&mut client, "40").await;
}

#[tokio::test]
async fn a_message_of_refusal_may_have_any_characters() {
    let mut test = start_default().await;
    let mut client = test.open(Door::Listen).await;
    client.send("40").await;
    let (_, _, admission) = test.host.connect().await;
    admission.refuse("\"quoted\"\n\u{1f980}", None, &mut Writes::new());
    assert_eq!(client.text().await, "44{\"message\":\"\\\"quoted\\\"\\n\u{1f980}\"}");
}

#[tokio::test]
async fn a_client_that_left_before_was_never_there() {
    for door in Door::ALL {
        let mut test = start_default().await;
        let mut client = test.open(door).await;
        client.send("40").await;
        let (socket, _, admission) = test.host.connect().await;
        socket.join(["room"]);
        client.close().await;
        test.emptied().await;
        assert_eq!(test.host.withdrawn().await.key(), socket.key());
        assert_eq!(admission.socket().key(), socket.key());
        assert_eq!(admission.accept(&mut Writes::new()), Err(Gone), "{door:?}");
        assert!(!socket.is_connected(), "{door:?}");
        assert!(test.main().rooms().is_empty(), "{door:?}");
        assert_eq!(test.server.metrics().sockets, 0, "{door:?}");
        test.host.assert_silent();
    }
}

#[tokio::test]
async fn a_socket_is_found_from_its_admission_until_its_departure_is_finished() {
    let mut test = start_default().await;
    let mut client = test.open(Door::Stream).await;
    client.send("40").await;
    let (socket, _, admission) = test.host.connect().await;
    assert!(test.server.socket(socket.key()).is_none() && test.main().socket(socket.id()).is_none());
    admission.accept(&mut Writes::new()).unwrap();
    assert!(test.server.socket(socket.key()).is_some() && test.main().socket(socket.id()).is_some());
    client.close().await;
    let departure = test.host.departure().await;
    assert!(test.server.socket(socket.key()).is_some());
    departure.finish();
    assert!(test.server.socket(socket.key()).is_none() && test.main().socket(socket.id()).is_none());
}

#[tokio::test]
async fn a_socket_joined_late_stays_out() {
    let mut test = start_default().await;
    let (client, socket) = test.join(Door::Stream).await;
    client.close().await;
    test.host.departure().await.finish();
    socket.join(["room"]);
    socket.emit(&event("nobody hears"), Flags::default(), &mut Writes::new());
    assert!(socket.disconnect(true, &mut Writes::new()).is_empty());
    assert!(test.main().rooms().is_empty());
    eventually(|| test.server.n_connections() == 0).await;
}
