//! Sessions that the host keeps: clients that come under an id and secret of its choice, and what they have missed.

use ferrio::{Config, Flags, HostEvent, Payload, Recovery, Selection, Writes};

use crate::support::{client::EntryPoint, eventually, member, start, start_default};

fn event(name: &str) -> Payload {
    Payload::event(name, [])
}

#[tokio::test]
async fn a_client_comes_under_the_id_and_secret_that_the_host_gives_it() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Listen).await;
    client.send("40").await;
    let (asked, _, request) = test.host.connect().await;
    let request = request.identify("former \"id\"", "secret").unwrap();
    let socket = request.socket().clone();
    assert_ne!(socket.key(), asked.key());
    socket.join(["room"]);
    socket.emit(&event("later"), Flags::default(), &mut Writes::new());
    socket.replay(&event("missed"), &mut Writes::new());
    // What is sent to the socket that it would have been goes nowhere.
    asked.emit(&event("lost"), Flags::default(), &mut Writes::new());
    asked.join(["lost"]);
    request.accept(&mut Writes::new()).unwrap();
    socket.replay(&event("too late"), &mut Writes::new());
    assert_eq!(client.text().await, r#"42["missed"]"#);
    assert_eq!(client.text().await, r#"40{"sid":"former \"id\"","pid":"secret"}"#);
    assert_eq!(client.text().await, r#"42["later"]"#);
    assert_eq!(socket.rooms().len(), 2);
    assert_eq!(socket.namespace().n_rooms(), 2);
    client.close().await;
    assert_eq!(test.host.disconnected().await.socket().key(), socket.key());
    test.host.assert_silent();
}

#[tokio::test]
async fn a_client_that_is_identified_is_refused_and_aborted_like_any_other() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (.., request) = test.host.connect().await;
    request.identify("id", "secret").unwrap().refuse("no", None, &mut Writes::new());
    assert_eq!(client.text().await, r#"44{"message":"no"}"#);

    client.send("40").await;
    let (.., request) = test.host.connect().await;
    let request = request.identify("id", "secret").unwrap();
    client.close().await;
    assert_eq!(test.host.connect_aborted().await.key(), request.socket().key());
    request.accept(&mut Writes::new()).unwrap_err();

    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (asked, _, request) = test.host.connect().await;
    client.close().await;
    assert_eq!(test.host.connect_aborted().await.key(), asked.key());
    request.identify("id", "secret").unwrap_err();
    test.host.assert_silent();
    eventually(|| test.server.metrics().socket_io.sockets == 0).await;
    assert!(test.server.remove_namespace("/"), "nobody is counted as being on the way");
}

#[tokio::test]
async fn recovery_that_is_left_to_the_host_keeps_nothing_in_the_core() {
    let mut test = start(Config { recovery: Some(Recovery::default()), ..Config::default() }).await;
    let mut lost = test.open(EntryPoint::Channel).await;
    lost.send("40").await;
    let socket = test.host.accept().await;
    let pid = member(&lost.text().await, "pid").to_owned();
    lost.close().await;
    drop(test.host.disconnected().await);
    let namespace = socket.namespace().clone();
    namespace.leave_recovery_to_host();
    match test.host.next().await {
        HostEvent::Forget { key } => assert_eq!(key, socket.key()),
        other => panic!("the end of a session was due, not {other:?}"),
    }
    let mut client = test.open(EntryPoint::Channel).await;
    client.send(&format!(r#"40{{"pid":"{pid}"}}"#)).await;
    let again = test.host.accept().await;
    assert!(again.id() != socket.id() && again.recovered().is_none());
    assert!(!client.text().await.contains("pid"));
    namespace.emit(&Selection::all(), &event("a"), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42["a"]"#, "without an offset");
}
