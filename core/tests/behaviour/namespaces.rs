//! Namespaces: static, dynamic, by the host's word, and several on one connection.

use std::{
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Instant,
};

use ferrio::{
    Adapter, BoxFuture, Config, Flags, Gathered, HostEvent, InMemory, ListenOptions, Namespace, Payload,
    RemoteAcks, RemoteSocket, Room, Selection, Server, Writes,
};

use crate::support::{
    TestServer,
    client::{EntryPoint, Message},
    eventually,
    host::Host,
    start, start_default,
};

const INVALID: &str = r#"{"message":"Invalid namespace"}"#;

#[tokio::test]
async fn an_unknown_namespace_is_refused_and_the_connection_stays() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let mut client = test.open(entry_point).await;
        client.send("40/unknown,").await;
        assert_eq!(client.text().await, format!("44/unknown,{INVALID}"), "{entry_point:?}");
        test.join_with(&mut client, "40").await;
    }
}

#[tokio::test]
async fn namespaces_of_one_connection_are_apart() {
    let mut test = start_default().await;
    let chat = test.server.namespace("chat");
    assert_eq!(&**chat.name(), "/chat");
    let (mut client, main_socket) = test.join(EntryPoint::Listen).await;
    let chat_socket = test.join_with(&mut client, "40/chat,").await;
    assert_ne!(main_socket.id(), chat_socket.id());
    assert_eq!(main_socket.connection().id(), chat_socket.connection().id());

    client.send(r#"42/chat,["hello"]"#).await;
    assert_eq!(test.host.event().await.0.key(), chat_socket.key());
    chat.emit(&Selection::all(), &Payload::event("news", []), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42/chat,["news"]"#);

    client.send("41/chat,").await;
    let disconnected = test.host.disconnected().await;
    assert_eq!(disconnected.socket().key(), chat_socket.key());
    drop(disconnected);
    client.send(r#"42["still here"]"#).await;
    assert_eq!(test.host.event().await.0.key(), main_socket.key());
}

#[tokio::test]
async fn a_dynamic_namespace_comes_and_goes_with_its_clients() {
    let config = Config { cleanup_empty_child_namespaces: true, ask_namespace: true, ..Config::default() };
    let mut test = start(config).await;
    test.server.namespace("/static");
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    assert!(test.server.find_namespace("/room-1").is_none());
    client.send("40/room-1,").await;
    test.host.answer_namespace("/room-1", true).await;
    test.host.accept().await;
    assert!(client.text().await.starts_with("40/room-1,"));
    assert_eq!(test.server.find_namespace("/room-1").unwrap().n_sockets(), 1);
    client.send("40/other,").await;
    test.host.answer_namespace("/other", false).await;
    assert_eq!(client.text().await, format!("44/other,{INVALID}"));
    client.send("41/room-1,").await;
    drop(test.host.disconnected().await);
    assert!(test.server.find_namespace("/room-1").is_none());
    test.join_with(&mut client, "40/static,").await;
    client.send("41/static,").await;
    drop(test.host.disconnected().await);
    assert!(test.server.find_namespace("/static").is_some(), "only dynamic ones go");
}

#[tokio::test]
async fn a_client_that_comes_while_the_last_one_leaves_is_never_in_a_namespace_that_nobody_finds() {
    const N_CLIENTS: usize = 4;
    const N_VISITS: usize = 100;
    let mut test = start(Config { cleanup_empty_child_namespaces: true, ..Config::default() }).await;
    test.server.allow_any_namespace();
    let mut visitors = Vec::new();
    for _ in 0..N_CLIENTS {
        let mut client = test.open(EntryPoint::Channel).await;
        visitors.push(tokio::spawn(async move {
            for _ in 0..N_VISITS {
                client.send("40/room,").await;
                assert!(client.text().await.starts_with("40/room,"));
                client.send("41/room,").await;
            }
        }));
    }
    let mut n_left = 0;
    while n_left < N_CLIENTS * N_VISITS {
        match test.host.next().await {
            HostEvent::Connect { socket, connect_request, .. } => {
                let found = test.server.find_namespace("/room").expect("it expects a client");
                assert!(Arc::ptr_eq(&found, socket.namespace()));
                // The client may have gone on only if it was let in, so it is still there.
                connect_request.accept(&mut Writes::new()).unwrap();
            }
            HostEvent::Disconnect(disconnected) => {
                drop(disconnected);
                n_left += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    for visitor in visitors {
        visitor.await.unwrap();
    }
    assert!(test.server.find_namespace("/room").is_none());
}

#[tokio::test]
async fn a_dynamic_namespace_goes_when_its_only_client_is_not_let_in() {
    let mut test = start(Config { cleanup_empty_child_namespaces: true, ..Config::default() }).await;
    test.server.allow_any_namespace();
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40/refused,").await;
    let (_, _, connect_request) = test.host.connect().await;
    connect_request.refuse("no", None, &mut Writes::new());
    client.send("40/lost,").await;
    let (_, _, connect_request) = test.host.connect().await;
    drop(client);
    eventually(|| test.server.namespaces().len() == 1).await;
    assert!(connect_request.accept(&mut Writes::new()).is_err());
}

/// An adapter that uses the server in whatever it is asked, and notes what it hears of rooms.
struct Curious {
    server: Arc<OnceLock<Server>>,
    namespace: OnceLock<Weak<Namespace>>,
    heard: Arc<Mutex<Vec<(String, bool)>>>,
    alone: Box<dyn Adapter<Namespace>>,
}

impl Curious {
    fn look(&self) {
        let Some(server) = self.server.get() else { return };
        server.namespace("/looked-at");
        for namespace in server.namespaces() {
            namespace.rooms();
        }
    }
}

impl Adapter<Namespace> for Curious {
    fn start(&self, namespace: &Arc<Namespace>) {
        self.look();
        self.namespace.set(Arc::downgrade(namespace)).expect("started once");
    }
    fn broadcast(&self, selection: &Selection, payload: &Payload, flags: Flags) {
        self.look();
        self.alone.broadcast(selection, payload, flags);
    }
    fn broadcast_with_ack(
        &self,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        deadline: Option<Instant>,
        acks: RemoteAcks,
    ) {
        self.look();
        self.alone.broadcast_with_ack(selection, payload, flags, deadline, acks);
    }
    fn join(&self, _: &Selection, _: &[Room]) {
        self.look();
    }
    fn leave(&self, _: &Selection, _: &[Room]) {
        self.look();
    }
    fn disconnect(&self, _: &Selection, _: bool) {
        self.look();
    }
    fn fetch<'a>(&'a self, selection: &'a Selection, at: Instant) -> BoxFuture<'a, Gathered<RemoteSocket>> {
        self.alone.fetch(selection, at)
    }
    fn server_side_emit<'a>(
        &'a self,
        payload: &'a Payload,
        wants_answers: bool,
        deadline: Instant,
    ) -> BoxFuture<'a, Gathered<Payload>> {
        self.alone.server_side_emit(payload, wants_answers, deadline)
    }
    fn n_nodes(&self) -> BoxFuture<'_, usize> {
        self.alone.n_nodes()
    }
    fn wants_room_changes(&self) -> bool {
        true
    }
    fn room_changed(&self, room: &Room, exists: bool) {
        self.look();
        let Some(namespace) = self.namespace.get().and_then(Weak::upgrade) else { return };
        if exists {
            // What it does itself is heard of later, not in the middle.
            namespace.leave(&Selection::all(), &[format!("{room} comes").into()], true);
        }
        self.heard.lock().unwrap().push((room.to_string(), exists));
    }
    fn close(&self) {
        self.look();
    }
}

#[tokio::test]
async fn functions_of_the_host_may_use_the_server() {
    let (known, heard) = (Arc::new(OnceLock::<Server>::new()), Arc::default());
    let (server, events) = {
        let (known, heard) = (known.clone(), Arc::clone(&heard));
        Server::with_adapter(
            Config { cleanup_empty_child_namespaces: true, ask_namespace: true, ..Config::default() },
            || {},
            move |name| {
                if let Some(server) = known.get().filter(|_| &**name != "/looked-at") {
                    server.namespace("/looked-at");
                }
                Box::new(Curious {
                    server: if &**name == "/looked-at" { Arc::default() } else { known.clone() },
                    namespace: OnceLock::new(),
                    heard: Arc::clone(&heard),
                    alone: Box::new(InMemory),
                })
            },
        )
        .unwrap()
    };
    assert!(known.set(server.clone()).is_ok());
    server.namespace("/");
    let listener = server.engine().listen(ListenOptions::new("127.0.0.1:0")).await.unwrap();
    let mut test = TestServer { server, host: Host::new(events), address: listener.local_addr() };
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40/dynamic,").await;
    test.host.answer_namespace("/dynamic", true).await;
    let socket = test.host.accept().await;
    assert!(client.text().await.starts_with("40/dynamic,"));
    let own = socket.id().to_string();
    let namespace = socket.namespace().clone();
    for room in ["a", "a comes", "b"] {
        socket.join([room]);
    }
    namespace.join(&Selection::all(), &["c".into()], false);
    namespace.emit(&Selection::all(), &Payload::event("e", []), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42/dynamic,["e"]"#);
    drop(socket.disconnect(false, &mut Writes::new()));
    let expected = [
        (own.as_str(), true),
        ("a", true),
        ("a comes", true),
        ("b", true),
        ("c", true),
        (own.as_str(), false),
        ("a", false),
        ("a comes", false),
        ("b", false),
        ("c", false),
    ];
    let expected: Vec<_> = expected.map(|(room, exists)| (room.to_owned(), exists)).into();
    assert_eq!(*heard.lock().unwrap(), expected);
    assert!(test.server.find_namespace("/dynamic").is_none());
}

#[tokio::test]
async fn an_adapter_hears_of_rooms_in_the_order_of_their_changes() {
    let heard: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
    let (server, events) = {
        let heard = heard.clone();
        Server::with_adapter(
            Config::default(),
            || {},
            move |_| {
                Box::new(Curious {
                    server: Arc::default(),
                    namespace: OnceLock::new(),
                    heard: heard.clone(),
                    alone: Box::new(InMemory),
                })
            },
        )
        .unwrap()
    };
    server.namespace("/");
    let listener = server.engine().listen(ListenOptions::new("127.0.0.1:0")).await.unwrap();
    let mut test = TestServer { server, host: Host::new(events), address: listener.local_addr() };
    let (_client, socket) = test.join(EntryPoint::Channel).await;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    socket.join(["room"]);
                    socket.leave("room");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let heard = heard.lock().unwrap();
    let of_the_room = heard.iter().filter(|(room, _)| room == "room").map(|(_, exists)| *exists);
    // It comes and goes in turn, and is gone at the end.
    assert!(of_the_room.clone().enumerate().all(|(idx, exists)| exists == (idx % 2 == 0)));
    assert_eq!(of_the_room.count() % 2, 0);
}

#[tokio::test]
async fn the_host_is_asked_about_unknown_namespaces() {
    let mut test = start(Config { ask_namespace: true, ..Config::default() }).await;
    let (mut client, _) = test.join(EntryPoint::Channel).await;
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
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    client.send("40/dyn,").await;
    let HostEvent::Namespace { answer, .. } = test.host.next().await else { panic!("asked") };
    client.send("40/dyn,").await;
    let HostEvent::ConnectAborted { namespace, socket, .. } = test.host.next().await else {
        panic!("connect_aborted")
    };
    assert_eq!((&*namespace, socket.is_none()), ("/dyn", true));
    assert_eq!(test.host.reason().await, "forced server close");
    // Nothing of the client waits for the host's word.
    eventually(|| answer.is_abandoned()).await;
    answer.send(true);
    assert!(matches!(client.receive().await, Message::Closed(_)));
    test.host.assert_silent();
}

#[tokio::test]
async fn a_question_about_a_namespace_keeps_nobody_who_has_left() {
    let mut test = start(Config { ask_namespace: true, ..Config::default() }).await;
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    let connection = Arc::downgrade(socket.connection());
    drop(socket);
    client.send("40/dyn,").await;
    let HostEvent::Namespace { answer, .. } = test.host.next().await else { panic!("asked") };
    client.close().await;
    assert!(matches!(test.host.next().await, HostEvent::ConnectAborted { socket: None, .. }));
    drop(test.host.disconnected().await);
    eventually(|| connection.upgrade().is_none()).await;
    answer.send(true);
    test.assert_alive().await;
}

#[tokio::test]
async fn what_unknown_namespaces_are_told_is_an_option() {
    let config = Config { unknown_namespace: r#""Unable to connect""#.to_owned(), ..Config::default() };
    let test = start(config).await;
    let mut client = test.open(EntryPoint::Listen).await;
    client.send("40/x,").await;
    assert_eq!(client.text().await, r#"44/x,"Unable to connect""#);
}
