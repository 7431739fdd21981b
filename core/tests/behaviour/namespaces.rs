//! Namespaces: static, dynamic, by the host's word, and several on one connection.

use ferrio::{Config, Flags, HostEvent, Payload, Selection, Writes};

use crate::support::{
    client::{Door, Message},
    eventually, start, start_default,
};

const INVALID: &str = r#"{"message":"Invalid namespace"}"#;

#[tokio::test]
async fn an_unknown_namespace_is_refused_and_the_connection_stays() {
    for door in Door::ALL {
        let mut test = start_default().await;
        let mut client = test.open(door).await;
        client.send("40/unknown,").await;
        assert_eq!(client.text().await, format!("44/unknown,{INVALID}"), "{door:?}");
        test.join_with(&mut client, "40").await;
    }
}

#[tokio::test]
async fn namespaces_of_one_connection_are_apart() {
    let mut test = start_default().await;
    let chat = test.server.namespace("chat");
    assert_eq!(&**chat.name(), "/chat");
    let (mut client, main_socket) = test.join(Door::Listen).await;
    let chat_socket = test.join_with(&mut client, "40/chat,").await;
    assert_ne!(main_socket.id(), chat_socket.id());
    assert_eq!(main_socket.connection().id(), chat_socket.connection().id());

    client.send(r#"42/chat,["hello"]"#).await;
    assert_eq!(test.host.event().await.0.key(), chat_socket.key());
    chat.emit(&Selection::all(), &Payload::event("news", []), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42/chat,["news"]"#);

    client.send("41/chat,").await;
    let departure = test.host.departure().await;
    assert_eq!(departure.socket().key(), chat_socket.key());
    drop(departure);
    client.send(r#"42["still here"]"#).await;
    assert_eq!(test.host.event().await.0.key(), main_socket.key());
}

#[tokio::test]
async fn a_dynamic_namespace_comes_and_goes_with_its_clients() {
    let mut test = start(Config { cleanup_empty_child_namespaces: true, ..Config::default() }).await;
    test.server.dynamic_namespace(|name| name.starts_with("/room-"));
    test.server.namespace("/static");
    let (mut client, _) = test.join(Door::Stream).await;
    assert!(test.server.find_namespace("/room-1").is_none());
    test.join_with(&mut client, "40/room-1,").await;
    assert_eq!(test.server.find_namespace("/room-1").unwrap().n_sockets(), 1);
    client.send("40/other,").await;
    assert_eq!(client.text().await, format!("44/other,{INVALID}"));
    client.send("41/room-1,").await;
    drop(test.host.departure().await);
    assert!(test.server.find_namespace("/room-1").is_none());
    test.join_with(&mut client, "40/static,").await;
    client.send("41/static,").await;
    drop(test.host.departure().await);
    assert!(test.server.find_namespace("/static").is_some(), "only dynamic ones go");
}

#[tokio::test]
async fn the_host_is_asked_about_unknown_namespaces() {
    let mut test = start(Config { ask_namespace: true, ..Config::default() }).await;
    let (mut client, _) = test.join(Door::Stream).await;
    client.send(r#"40/dyn,{"a":1}"#).await;
    let HostEvent::Namespace { name, auth, handshake, answer } = test.host.next().await else {
        panic!("asked")
    };
    assert_eq!((&*name, auth.text()), ("/dyn", r#"{"a":1}"#));
    assert!(handshake.head.query("EIO").is_some());
    test.server.namespace(&name);
    answer.send(true);
    let socket = test.host.accept().await;
    assert_eq!(&**socket.namespace().name(), "/dyn");
    assert!(client.text().await.starts_with("40/dyn,{"));
    for is_dropped in [false, true] {
        client.send("40/no,").await;
        let HostEvent::Namespace { answer, .. } = test.host.next().await else { panic!("asked") };
        if is_dropped {
            drop(answer);
        } else {
            answer.send(false);
        }
        assert_eq!(client.text().await, format!("44/no,{INVALID}"));
    }
}

#[tokio::test]
async fn a_namespace_is_not_asked_for_twice() {
    let mut test = start(Config { ask_namespace: true, ..Config::default() }).await;
    let (mut client, _) = test.join(Door::Stream).await;
    client.send("40/dyn,").await;
    let HostEvent::Namespace { answer, .. } = test.host.next().await else { panic!("asked") };
    client.send("40/dyn,").await;
    let HostEvent::Withdrawn { namespace, socket } = test.host.next().await else { panic!("withdrawn") };
    assert_eq!((&*namespace, socket.is_none()), ("/dyn", true));
    assert_eq!(test.host.reason().await, "forced server close");
    // Nothing of the client waits for the host's word.
    eventually(|| answer.is_abandoned()).await;
    answer.send(true);
    assert!(matches!(client.receive().await, Message::Closed(_)));
    test.host.assert_silent();
}

#[tokio::test]
async fn what_unknown_namespaces_are_told_is_an_option() {
    let config = Config { unknown_namespace: r#""Unable to connect""#.to_owned(), ..Config::default() };
    let test = start(config).await;
    let mut client = test.open(Door::Listen).await;
    client.send("40/x,").await;
    assert_eq!(client.text().await, r#"44/x,"Unable to connect""#);
}
