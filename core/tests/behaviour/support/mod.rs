//! A server under test, its host in the test's own hands, and clients for every entry point.

pub(crate) mod host;

use std::{net::SocketAddr, sync::Arc};

use ferrio::{Config, ListenOptions, Namespace, Server, Socket, SocketIo, Writes};
use ferrio_testing::{
    Target,
    client::{EntryPoint, Message},
};

pub(crate) use ferrio_testing::{SOON, client, eventually, http, in_time, member, settle, websocket};

use self::host::Host;

/// A client of this server.
pub(crate) type Client = client::Client<SocketIo>;

/// A server that listens, with the main namespace.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) host: Host,
    pub(crate) address: SocketAddr,
}

impl Target for TestServer {
    type Layer = SocketIo;

    fn engine(&self) -> &ferrio_engine::Server<SocketIo> {
        self.server.engine()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.server.close();
    }
}

pub(crate) async fn start(config: Config) -> TestServer {
    let (server, events) = Server::new(config, || {}).unwrap();
    server.namespace("/");
    let listener = server.engine().listen(ListenOptions::new("127.0.0.1:0")).await.unwrap();
    TestServer { server, host: Host::new(events), address: listener.local_addr() }
}

pub(crate) async fn start_default() -> TestServer {
    start(Config::default()).await
}

impl TestServer {
    /// The main namespace.
    pub(crate) fn main(&self) -> Arc<Namespace> {
        self.server.namespace("/")
    }

    /// A client that has read its open packet.
    pub(crate) async fn open(&self, entry_point: EntryPoint) -> Client {
        Client::open(self, entry_point).await
    }

    /// A client in the main namespace.
    pub(crate) async fn join(&mut self, entry_point: EntryPoint) -> (Client, Arc<Socket>) {
        let mut client = self.open(entry_point).await;
        let socket = self.join_with(&mut client, "40").await;
        (client, socket)
    }

    /// Lets a client into a namespace by this CONNECT packet.
    pub(crate) async fn join_with(&mut self, client: &mut Client, connect: &str) -> Arc<Socket> {
        client.send(connect).await;
        let socket = self.host.accept().await;
        let answer = client.text().await;
        assert!(answer.contains(&format!(r#"{{"sid":"{}""#, socket.id())), "{answer}");
        socket
    }

    /// Sees that a new client is served as ever.
    pub(crate) async fn assert_alive(&mut self) {
        let (mut client, socket) = self.join(EntryPoint::Channel).await;
        client.send(r#"42["are you there"]"#).await;
        let (from, payload, _) = self.host.event().await;
        assert_eq!((from.key(), payload.text()), (socket.key(), r#"["are you there"]"#));
        let disconnected_sockets = socket.disconnect(true, &mut Writes::new());
        assert_eq!(disconnected_sockets.len(), 1);
        assert_eq!(client.text().await, "41");
        assert!(matches!(client.receive().await, Message::Closed(_)));
    }

    /// Waits until the server has no session left.
    pub(crate) async fn emptied(&self) {
        eventually(|| self.server.engine().n_sessions() == 0).await;
    }
}
