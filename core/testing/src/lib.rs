//! Clients for the tests of a server, whatever stands on its engine: they come by every entry point, and can do what no
//! well-behaved client would.
#![expect(clippy::missing_panics_doc, reason = "what fails here fails the test")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

pub mod client;
pub mod http;
pub mod websocket;

use std::{future::poll_fn, net::SocketAddr, pin::Pin, task::Poll, time::Duration};

use ferrio_engine::{Layer, Server};
use tokio::time::timeout;

/// By when anything a test waits for has happened, on a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// For options that a test wants to run out.
pub const SOON: Duration = Duration::from_millis(60);

/// A server under test, which listens.
pub trait Target {
    /// What stands on its engine.
    type Layer: Layer;

    /// The engine.
    fn engine(&self) -> &Server<Self::Layer>;

    /// The port of its own.
    fn address(&self) -> SocketAddr;

    /// The way there, for a client in a task of its own.
    fn reach(&self) -> Reach<Self::Layer> {
        Reach { engine: self.engine().clone(), address: self.address() }
    }
}

/// The way to a server.
pub struct Reach<L: Layer> {
    engine: Server<L>,
    address: SocketAddr,
}

impl<L: Layer> Target for Reach<L> {
    type Layer = L;

    fn engine(&self) -> &Server<L> {
        &self.engine
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Waits for something with a deadline that only a failure reaches.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it happens in time")
}

/// Waits for a condition that nothing announces.
pub async fn eventually(mut condition: impl FnMut() -> bool) {
    in_time(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The text of a JSON object's member that is a string, such as the `sid` of an open packet.
pub fn member<'a>(text: &'a str, name: &str) -> &'a str {
    let start = format!(r#""{name}":""#);
    let (_, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no {name} in {text}"));
    rest.split_once('"').expect("a string ends").0
}

/// Drives a future until it has nothing to do but wait.
pub async fn settle<T>(mut future: Pin<&mut impl Future<Output = T>>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "it has to wait");
        Poll::Ready(())
    })
    .await;
}
