//! How clients leave: put out of a namespace, kept out of one, or gone with their whole connection.

use std::sync::Arc;

use ferrio_engine::{CloseReason, Protocol, SendOptions, Watch};
use ferrio_protocol::socket::Assembler;

use crate::{
    Writes,
    client::{Entry, Inbound, watch},
    config::Parser,
    event::{DisconnectedSocket, HostEvent, Observed, SessionEvent},
    namespace::Namespace,
    packet::encode::Encoder,
    reason::DisconnectReason,
    rooms::selection::Selection,
    socket::{Socket, Stage},
    socket_io::Connection,
};

impl Socket {
    /// Puts the client out of the namespace, or closes its whole connection.
    ///
    /// Returns the sockets that leave by it, this one first; the caller reports them to the application, which in
    /// socket.io hears of them before the call returns. They do not come by the queue as well.
    pub fn disconnect(self: &Arc<Self>, close: bool, writes: &mut Writes) -> Vec<DisconnectedSocket> {
        if close {
            return disconnect_all(self.connection(), writes);
        }
        disconnect_from_namespace(self.connection(), self, writes).into_iter().collect()
    }

    /// Marks the socket as gone. Returns whether it had been let in.
    pub(crate) fn mark_disconnected(&self) -> bool {
        let was = std::mem::replace(&mut *self.stage.lock(), Stage::Disconnected);
        self.give_up_waiting();
        if matches!(was, Stage::Pending(_)) {
            self.namespace().turned_away();
        }
        matches!(was, Stage::Connected)
    }

    /// The reason and rooms of a socket that goes, for the host; kept for recovery when the reason allows it.
    pub(crate) fn disconnected(self: &Arc<Self>, reason: DisconnectReason) -> DisconnectedSocket {
        tracing::debug!(namespace = %self.namespace().name(), socket = %self.id(), %reason, "client left a namespace");
        let is_kept = self.namespace().keep_session(self, reason);
        self.namespace().server.counters.sockets.sub(1);
        self.namespace().observe(|| Observed::Disconnected(self.clone(), reason));
        DisconnectedSocket::new(self.clone(), reason, !is_kept)
    }
}

impl Namespace {
    /// Disconnects every socket that is meant, here and on other nodes. Returns those of this node, as
    /// [`Socket::disconnect`] does.
    pub fn disconnect(
        &self,
        selection: &Selection,
        close: bool,
        local: bool,
        writes: &mut Writes,
    ) -> Vec<DisconnectedSocket> {
        let mut disconnected_sockets = Vec::new();
        for socket in self.select(selection) {
            disconnected_sockets.extend(socket.disconnect(close, writes));
        }
        if !local {
            self.adapter.disconnect(selection, close);
        }
        disconnected_sockets
    }
}

/// Tells the client that it may not join a namespace, and forgets that it asked.
pub(super) fn refuse(
    connection: &Arc<Connection>,
    name: &str,
    message: &str,
    data: Option<&str>,
    writes: &mut Writes,
) {
    let message = serde_json::Value::from(message).to_string();
    let text = match (connection.protocol(), data) {
        (Protocol::V3, data) => data.filter(|data| !FALSY.contains(data)).unwrap_or(&message).to_owned(),
        (Protocol::V4, None) => format!(r#"{{"message":{message}}}"#),
        (Protocol::V4, Some(data)) => format!(r#"{{"message":{message},"data":{data}}}"#),
    };
    refuse_with(connection, name, text, writes);
}

/// Data that counts as none for clients of the older protocol, which get either the data or the message.
const FALSY: [&str; 4] = ["null", "false", "0", "\"\""];

/// Tells the client that it may not join a namespace, in a text of its own.
pub(super) fn refuse_with(connection: &Arc<Connection>, name: &str, text: String, writes: &mut Writes) {
    let removed = connection.state().inbound.lock().remove(name);
    if let Some(Entry::Pending(socket)) = removed {
        socket.mark_disconnected();
    }
    // With a parser of its own the host has said it already.
    if !is_silent(connection) {
        send_refusal(connection, name, text, writes);
    }
}

/// Queues a `CONNECT_ERROR` packet, or has the host do so.
pub(super) fn send_refusal(connection: &Arc<Connection>, name: &str, text: String, writes: &mut Writes) {
    if is_silent(connection) {
        return watch::push(connection, SessionEvent::Refused(Arc::from(name), Arc::from(text)));
    }
    let packet = encoder(connection).connect_error(name, text);
    connection.push(&packet, SendOptions::default(), writes);
}

/// Puts the client out of one namespace.
fn disconnect_from_namespace(
    connection: &Arc<Connection>,
    socket: &Arc<Socket>,
    writes: &mut Writes,
) -> Option<DisconnectedSocket> {
    let mut inbound = connection.state().inbound.lock();
    let name = socket.namespace().name().clone();
    match inbound.entry(&name) {
        Some(Entry::Connected(connected)) if Arc::ptr_eq(connected, socket) => inbound.remove(&name),
        _ => return None,
    };
    socket.drop_by_host();
    let was_connected = socket.mark_disconnected();
    drop(inbound);
    if !is_silent(connection) {
        let packet = encoder(connection).disconnect(&name);
        connection.push(&packet, SendOptions::default(), writes);
    }
    was_connected.then(|| socket.disconnected(DisconnectReason::ServerNamespaceDisconnect))
}

/// Puts the client out of every namespace, and closes the connection.
fn disconnect_all(connection: &Arc<Connection>, writes: &mut Writes) -> Vec<DisconnectedSocket> {
    let sockets = connected(&connection.state().inbound.lock());
    let disconnected_sockets =
        sockets.iter().filter_map(|socket| disconnect_from_namespace(connection, socket, writes)).collect();
    connection.close(CloseReason::ForcedClose);
    disconnected_sockets
}

/// Ends every socket of the connection, and tells the host.
pub(crate) fn end(connection: &Arc<Connection>, reason: DisconnectReason) {
    let mut inbound = connection.state().inbound.lock();
    // Under the lock, so that no event of a socket can come after its disconnect.
    for disconnected in take_sockets(connection, &mut inbound, reason) {
        connection.layer().queue.push(HostEvent::Disconnect(disconnected));
    }
    report_end(connection, &mut inbound, reason);
}

/// Ends the connection at the host's own word. Returns the sockets that leave by it, as
/// [`Socket::disconnect`] does; their reason is `forced close`.
pub(crate) fn force_close(connection: &Arc<Connection>) -> Vec<DisconnectedSocket> {
    let reason = DisconnectReason::Connection(CloseReason::ForcedClose);
    let mut inbound = connection.state().inbound.lock();
    let disconnected_sockets = take_sockets(connection, &mut inbound, reason);
    for disconnected in &disconnected_sockets {
        disconnected.socket().drop_by_host();
    }
    report_end(connection, &mut inbound, reason);
    drop(inbound);
    connection.close(CloseReason::ForcedClose);
    disconnected_sockets
}

/// Takes all sockets out. Those that were not let in yet are told of here.
fn take_sockets(
    connection: &Connection,
    inbound: &mut Inbound,
    reason: DisconnectReason,
) -> Vec<DisconnectedSocket> {
    inbound.assembler = Assembler::new();
    let mut disconnected_sockets = Vec::new();
    for (namespace, entry) in std::mem::take(&mut inbound.entries) {
        let socket = match entry {
            Entry::Connected(socket) => {
                if socket.mark_disconnected() {
                    disconnected_sockets.push(socket.disconnected(reason));
                }
                continue;
            }
            Entry::Pending(socket) => {
                socket.mark_disconnected();
                Some(socket)
            }
            Entry::Asking(_) => None,
        };
        connection.layer().queue.push(HostEvent::ConnectAborted { namespace, socket, reason });
    }
    disconnected_sockets
}

/// Tells of the end once, where the host wants to know.
fn report_end(connection: &Arc<Connection>, inbound: &mut Inbound, reason: DisconnectReason) {
    if std::mem::replace(&mut inbound.is_open, false) && connection.watches(Watch::CLOSE) {
        watch::push(connection, SessionEvent::Closed(reason));
    }
}

/// The sockets of those namespaces to which the client is connected.
fn connected(inbound: &Inbound) -> Vec<Arc<Socket>> {
    let connected = |(_, entry): &(Arc<str>, Entry)| match entry {
        Entry::Connected(socket) => Some(socket.clone()),
        Entry::Asking(_) | Entry::Pending(_) => None,
    };
    inbound.entries.iter().filter_map(connected).collect()
}

/// Whether the application says itself what a client has to know, by a parser of its own.
pub(super) fn is_silent(connection: &Connection) -> bool {
    connection.layer().config.parser == Parser::Application
}

/// How packets are written for a client.
fn encoder(connection: &Connection) -> Encoder {
    Encoder { parser: connection.layer().config.parser, protocol: connection.protocol() }
}

/// The client has left a namespace by a packet.
pub(crate) fn by_client(socket: &Arc<Socket>) {
    if socket.mark_disconnected() {
        let disconnected = socket.disconnected(DisconnectReason::ClientNamespaceDisconnect);
        socket.namespace().server.queue.push(HostEvent::Disconnect(disconnected));
    }
}
