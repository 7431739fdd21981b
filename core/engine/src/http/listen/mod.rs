//! The server's own port: who may connect, and until when.

mod connection;
mod idle;

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};

use bytes::Bytes;
use http::Response;

use crate::{
    http::{listen::connection::Port, tls::Tls},
    layer::Layer,
    request::RequestHead,
    runtime::runtime,
    server::Server,
};

/// Where and how a server listens on a port of its own.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// `host:port`, the host being an address or a name; one of IPv6 stands in brackets. Without a host, as in
    /// `:3000`, it is every address of the machine, IPv6 and IPv4 where it has both. Port 0 is a free one, which
    /// [`Listener::local_addr`] tells. Default `:0`.
    pub address: String,
    /// Connections that the system keeps until they are accepted. Default 511, as in Node.js; the system has an upper
    /// bound of its own. Higher takes larger storms of clients that come back at once.
    pub backlog: u32,
    /// The certificate and key for TLS. Default `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Connections that have not sent a whole request yet. Default 4 096, at least 1. With so many of them no more
    /// are accepted: peers that connect and say nothing take 40 MiB at most, for
    /// [`header_timeout`](crate::config::Limits::header_timeout).
    pub max_pending: usize,
    /// The path under which the server answers on this port. Default `None`: the server's
    /// [`path`](crate::Config::path).
    pub path: Option<String>,
    /// Answers plain requests for some paths, also for such under the engine's. Default `None`. For the few files that a
    /// host serves beside the engine.
    pub responder: Option<Responder>,
}

/// Answers requests for some paths that are not the engine's affair.
#[derive(Clone)]
pub struct Responder {
    paths: Arc<[String]>,
    respond: Arc<Respond>,
}

type Respond = dyn Fn(&RequestHead) -> Option<Response<Bytes>> + Send + Sync;

impl Responder {
    /// Makes one for these very paths. The function is called on a thread that may block; what it gives `None` for is served
    /// like any other request.
    pub fn new(
        paths: impl IntoIterator<Item = String>,
        respond: impl Fn(&RequestHead) -> Option<Response<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self { paths: paths.into_iter().collect(), respond: Arc::new(respond) }
    }

    async fn respond(&self, head: &RequestHead) -> Option<Response<Bytes>> {
        if !self.paths.iter().any(|path| path == head.uri.path()) {
            return None;
        }
        let (respond, head) = (self.respond.clone(), head.clone());
        // Ends by itself.
        runtime().spawn_blocking(move || respond(&head)).await.ok().flatten()
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            address: ":0".to_owned(),
            backlog: 511,
            tls: None,
            max_pending: 4096,
            path: None,
            responder: None,
        }
    }
}

impl ListenOptions {
    /// The defaults for an address in the form `host:port`.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }

    /// The defaults for a host, `None` being every address of the machine, and a port.
    pub fn on(host: Option<&str>, port: u16) -> Self {
        let host = host.unwrap_or_default();
        Self::new(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }
}

impl<L: Layer> Server<L> {
    /// Opens a port of the server's own, on which nothing but the engine is served.
    ///
    /// It is served until [`Listener::close`] or the server's own close; dropping the [`Listener`] leaves it open.
    /// A server may listen on several ports, and again after a close.
    ///
    /// # Errors
    /// When the name is unknown, the address cannot be had, or `max_pending` is 0.
    pub async fn listen(&self, options: ListenOptions) -> io::Result<Listener> {
        let addresses = resolve(options.address.clone()).await?;
        let listener = bind_first(&addresses, options.backlog)?;
        self.serve(listener, options)
    }

    /// Serves a port that is open already: one that was inherited, or that the host opened. Connections that wait on
    /// it are not lost. `address` and `backlog` of the options have no meaning here.
    ///
    /// # Errors
    /// When the socket does not listen, or `max_pending` is 0.
    pub fn listen_on(&self, listener: std::net::TcpListener, options: ListenOptions) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        // A socket has to be registered with the runtime that will drive it.
        let runtime = runtime();
        let _entered = runtime.enter();
        self.serve(TcpListener::from_std(listener)?, options)
    }

    fn serve(&self, listener: TcpListener, options: ListenOptions) -> io::Result<Listener> {
        if options.max_pending == 0 {
            let message = "option `max_pending` must be at least 1, not 0";
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        let local_addr = listener.local_addr()?;
        let (phase, _) = watch::channel(Phase::Open);
        let accepting = Accepting {
            pending: Arc::new(Semaphore::new(options.max_pending.min(Semaphore::MAX_PERMITS))),
            port: Arc::new(Port::new(self.clone(), options)),
            phase: phase.clone(),
        };
        runtime().spawn(accepting.run(listener));
        Ok(Listener { local_addr, phase })
    }
}

/// A port that a server listens on.
#[derive(Debug, Clone)]
pub struct Listener {
    local_addr: SocketAddr,
    phase: watch::Sender<Phase>,
}

impl Listener {
    /// The address that clients connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts no more connections, and closes those of long-polling as soon as no request is under way.
    ///
    /// Sessions and WebSockets go on; they end with the server.
    pub fn close(&self) {
        self.phase.send_if_modified(|phase| {
            let is_open = *phase == Phase::Open;
            if is_open {
                *phase = Phase::Closing;
            }
            is_open
        });
    }

    /// Waits until the port is free again, after [`close`](Self::close) or the server's close.
    pub async fn closed(&self) {
        // It cannot fail: there is a sender in `self`.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Closed).await;
    }
}

/// How far the life of a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    /// The port is free.
    Closed,
}

impl Phase {
    /// Waits until no more connections are accepted.
    async fn over(phase: &mut watch::Receiver<Self>) {
        // It fails when the port is no more, which is as good.
        let _ = phase.wait_for(|phase| *phase != Self::Open).await;
    }
}

/// What the task that accepts connections has.
struct Accepting<L: Layer> {
    port: Arc<Port<L>>,
    pending: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

impl<L: Layer> Accepting<L> {
    async fn run(self, listener: TcpListener) {
        let mut closing = self.phase.subscribe();
        loop {
            // Every branch may be cancelled: a connection that was accepted is returned at once.
            let (stream, remote, permit) = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = Phase::over(&mut closing) => break,
                () = self.port.server.closing() => break,
            };
            let phase = self.phase.subscribe();
            // Ends with the connection, or when it has become a WebSocket.
            tokio::spawn(Arc::clone(&self.port).serve(stream, remote, permit, phase));
        }
        drop(listener);
        self.phase.send_replace(Phase::Closed);
    }

    /// The next connection, with its place among those that have yet to send a request.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.pending).acquire_owned().await.ok();
        let mut pause = SHORTEST_PAUSE;
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => return (stream, remote, permit),
                Err(error) if is_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, ?pause, "no connection can be accepted at the moment");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Pauses after the system had no descriptor or memory left: the connection stays in the backlog and the descriptor
/// readable, so without a pause this would spin. Long enough to cost nothing, short enough to go unnoticed.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether accepting failed because of the one peer that was to be accepted.
fn is_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
    )
}

/// The addresses to try, in order.
async fn resolve(address: String) -> io::Result<Vec<SocketAddr>> {
    if let Some(Ok(port)) = address.strip_prefix(':').map(str::parse::<u16>) {
        // The unspecified address of IPv6 takes IPv4 as well; there are machines without IPv6.
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    let lookup = async move { Ok(lookup_host(address).await?.collect()) };
    // The caller may run on any executor; names are looked up on the threads of this one.
    runtime().spawn(lookup).await.map_err(io::Error::other)?
}

fn bind_first(addresses: &[SocketAddr], backlog: u32) -> io::Result<TcpListener> {
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        outcome = bind(*address, backlog);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let runtime = runtime();
    let _context = runtime.enter();
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that is started anew gets its port although old connections linger. On Windows it would mean that two
    // servers may share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_without_a_host_is_every_address_of_the_machine() {
        let addresses = resolve(ListenOptions::on(None, 3000).address).await.unwrap();
        assert_eq!(addresses, ["[::]:3000".parse().unwrap(), "0.0.0.0:3000".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_host_may_be_an_address_of_either_kind() {
        for (host, address) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")] {
            let addresses = resolve(ListenOptions::on(Some(host), 80).address).await.unwrap();
            assert_eq!(addresses, [address.parse().unwrap()]);
        }
        for malformed in ["", "127.0.0.1", ":", ":65536", "::1:80:"] {
            assert!(resolve(malformed.to_owned()).await.is_err(), "{malformed:?}");
        }
    }
}
