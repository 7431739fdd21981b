//! An engine under test, whose layer is in the test's own hands, and clients for every entry point.

pub(crate) mod recorder;

use std::{net::SocketAddr, sync::Arc};

use ferrio_engine::{Config, Data, Frame, ListenOptions, SendOptions, Server, Writes};
use ferrio_testing::{
    Target,
    client::{EntryPoint, Message},
};

pub(crate) use ferrio_testing::{SOON, client, eventually, http, in_time, member, settle, websocket};

use self::recorder::{Heard, Manner, Recorder, Session};

/// A client of this server.
pub(crate) type Client = client::Client<Recorder>;

/// A server that listens.
pub(crate) struct TestServer {
    pub(crate) server: Server<Recorder>,
    pub(crate) heard: Heard,
    pub(crate) address: SocketAddr,
}

impl Target for TestServer {
    type Layer = Recorder;

    fn engine(&self) -> &Server<Recorder> {
        &self.server
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

pub(crate) async fn start_with(config: Config, manner: Manner) -> TestServer {
    let (recorder, heard) = Recorder::new(manner);
    let server = Server::new(config, recorder).unwrap();
    let listener = server.listen(ListenOptions::new("127.0.0.1:0")).await.unwrap();
    TestServer { server, heard, address: listener.local_addr() }
}

pub(crate) async fn start(config: Config) -> TestServer {
    start_with(config, Manner::default()).await
}

pub(crate) async fn start_default() -> TestServer {
    start(Config::default()).await
}

impl TestServer {
    /// A client that has read its open packet, and its session.
    pub(crate) async fn open(&mut self, entry_point: EntryPoint) -> (Client, Arc<Session>) {
        let client = Client::open(self, entry_point).await;
        let session = self.heard.opened().await;
        assert_eq!(&**session.id(), client.session_id());
        (client, session)
    }

    /// Sees that a new client is served as ever.
    pub(crate) async fn assert_alive(&mut self) {
        let (mut client, session) = self.open(EntryPoint::Channel).await;
        client.send("4are you there").await;
        let (from, _) = self.heard.message().await;
        assert!(Arc::ptr_eq(&from, &session));
        session.close(ferrio_engine::CloseReason::ForcedClose);
        assert_eq!(self.heard.reason().await, "forced close");
        assert!(matches!(client.receive().await, Message::Closed(_)));
    }

    /// Waits until the server has no session left.
    pub(crate) async fn emptied(&self) {
        self.emptied_to(0).await;
    }

    /// Waits until the server has so many sessions left.
    pub(crate) async fn emptied_to(&self, n_sessions: usize) {
        eventually(|| self.server.n_sessions() == n_sessions).await;
    }
}

/// Sends a text message.
pub(crate) fn send(session: &Arc<Session>, text: &str) {
    session.send(&Data::Text(text), SendOptions::default());
}

/// Queues a text message with others.
pub(crate) fn push(session: &Arc<Session>, text: &str, writes: &mut Writes<Recorder>) {
    session.push(&Frame::message_text(text).into(), SendOptions::default(), writes);
}
