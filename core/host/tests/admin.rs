//! The admin UI's side of a server, with more sockets than an admin client reads at once.
#![expect(clippy::similar_names, reason = "a `test` and a `text` are what they are")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use ferrio::{
    Config, Flags, HostEvent, Limits, Namespace, Payload, Selection, Server, Socket, SocketIo, Writes,
};
use ferrio_host::admin::{Admin, AdminOptions};
use ferrio_testing::{
    Target,
    client::{Client, EntryPoint, Message},
    eventually, in_time,
};

/// A server whose host lets everybody in, and shows it to the clients of `/admin`.
struct TestServer {
    server: Server,
    admin: Arc<Admin>,
}

impl Target for TestServer {
    type Layer = SocketIo;

    fn engine(&self) -> &ferrio_engine::Server<SocketIo> {
        self.server.engine()
    }

    fn address(&self) -> SocketAddr {
        unreachable!("its clients come through memory")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.server.close();
    }
}

fn start(shows_all: bool) -> TestServer {
    let limits = Limits { max_namespaces_per_connection: 2000, ..Limits::default() };
    let (server, mut events) = Server::new(Config { limits, ..Config::default() }, || {}).unwrap();
    let options = AdminOptions {
        namespace: "/admin".to_owned(),
        server_id: "the server".to_owned(),
        hostname: "the machine".to_owned(),
        uptime: Duration::ZERO,
        shows_all,
        takes_commands: true,
        shows_secrets: false,
        interval: Duration::from_millis(100),
    };
    server.namespace("/");
    let admin = Arc::new(Admin::new(server.clone(), options));
    let shown = Arc::downgrade(&admin);
    // Ends when the server is closed.
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let HostEvent::Connect { socket, connect_request, .. } = event {
                let _ = connect_request.accept(&mut Writes::new());
                if let Some(admin) = shown.upgrade().filter(|_| &**socket.namespace().name() == "/admin") {
                    admin.show_to(socket);
                }
            }
        }
    });
    TestServer { server, admin }
}

impl TestServer {
    async fn open_admin(&self) -> (Client<SocketIo>, Arc<Socket>) {
        let mut client = Client::open(self, EntryPoint::Channel).await;
        client.send("40/admin,").await;
        assert!(client.text().await.starts_with("40/admin,"));
        let socket = self.admins().sockets().pop().unwrap();
        (client, socket)
    }

    fn admins(&self) -> Arc<Namespace> {
        self.server.namespace("/admin")
    }

    /// Sockets of one client, each in a namespace of its own.
    async fn crowd(&self, n: usize) -> Client<SocketIo> {
        let mut client = Client::open(self, EntryPoint::Channel).await;
        for idx in 0..n {
            self.server.namespace(&format!("/{idx}"));
            client.send(&format!("40/{idx},")).await;
        }
        eventually(|| self.n_crowd() == n).await;
        client
    }

    fn n_crowd(&self) -> usize {
        let others = |namespace: &&Arc<Namespace>| **namespace.name() != *"/admin";
        self.server.namespaces().iter().filter(others).map(|namespace| namespace.n_sockets()).sum()
    }
}

/// The names of the namespaces of the sockets that an event tells of.
fn told_of(text: &str) -> Vec<String> {
    let Some(json) = text.strip_prefix("42/admin,") else { return Vec::new() };
    let values: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    let records = match values[0].as_str() {
        Some("all_sockets") => values[1].as_array().unwrap().clone(),
        Some("socket_connected") => vec![values[1].clone()],
        _ => Vec::new(),
    };
    records.iter().map(|record| record["nsp"].as_str().unwrap().to_owned()).collect()
}

/// Reads until the client has been told of so many sockets of others.
async fn read_of(client: &mut Client<SocketIo>, n: usize) -> HashSet<String> {
    let mut known = HashSet::new();
    while known.len() < n {
        let text = client.text().await;
        if text.starts_with(r#"42/admin,["all_sockets""#) {
            known.clear();
        }
        known.extend(told_of(&text).into_iter().filter(|name| name != "/admin"));
    }
    known
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_runs_only_while_an_admin_client_is_there() {
    for shows_all in [true, false] {
        let test = start(shows_all);
        let _crowd = test.crowd(3).await;
        assert_eq!(test.admin.n_feeds(), 0);
        for _ in 0..2 {
            let (client, _) = test.open_admin().await;
            eventually(|| test.admin.n_feeds() == 1).await;
            drop(client);
            eventually(|| test.admin.n_feeds() == 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sockets_are_listed_in_pieces_that_a_client_has_room_for() {
    let test = start(true);
    let crowds = [test.crowd(1000).await];
    // Ten of each namespace.
    let mut others = Vec::new();
    for _ in 1..10 {
        let mut client = Client::open(&test, EntryPoint::Channel).await;
        for idx in 0..1000 {
            client.send(&format!("40/{idx},")).await;
        }
        others.push(client);
    }
    eventually(|| test.n_crowd() == 10_000).await;
    let (mut client, socket) = test.open_admin().await;
    let mut n_told = 0;
    let mut n_lists = 0;
    while n_told < 10_001 {
        assert!(socket.connection().queued_bytes() < 2 << 20);
        let text = client.text().await;
        n_lists += usize::from(text.contains(r#"["all_sockets""#));
        n_told += told_of(&text).len();
    }
    assert_eq!((n_told, n_lists), (10_001, 1));
    drop(crowds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_shown_all_sockets_anew_when_it_does() {
    let test = start(true);
    let mut crowd = test.crowd(10).await;
    let (mut client, socket) = test.open_admin().await;
    read_of(&mut client, 10).await;
    let event = Payload::event("much", [format!("\"{}\"", "x".repeat(10_000)).as_str()]);
    // The crowd reads on.
    let reading =
        tokio::spawn(
            async move { while !matches!(crowd.receive().await, Message::Closed(_) | Message::Lost) {} },
        );
    eventually(|| {
        for name in ["/1", "/2", "/3"] {
            let namespace = test.server.namespace(name);
            namespace.emit(&Selection::all(), &event, Flags::default(), &mut Writes::new());
        }
        socket.connection().queued_bytes() > 1 << 20
    })
    .await;
    // Whatever happens from now on, no more is queued for it.
    for _ in 0..1000 {
        let namespace = test.server.namespace("/1");
        namespace.emit(&Selection::all(), &event, Flags::default(), &mut Writes::new());
    }
    test.server.namespace("/4").sockets()[0].join(["late"]);
    let seen = in_time(async {
        loop {
            let text = client.text().await;
            assert!(socket.connection().queued_bytes() < 2 << 20);
            if text.contains(r#"["all_sockets""#) {
                return text;
            }
        }
    })
    .await;
    assert_eq!(told_of(&seen).len(), 11);
    assert!(seen.contains(r#""late""#));
    assert!(socket.is_connected());
    test.server.close();
    reading.await.unwrap();
}
