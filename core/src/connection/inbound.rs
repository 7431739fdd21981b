//! The receiving half of a connection: the namespaces its client is in, or wants to be.

use std::{convert::Infallible, sync::Arc};

use ferrio_protocol::{
    engine::{CloseReason, Protocol},
    socket::Assembler,
};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::{
    connection::Connection, departure::Departure, outbox::Class, queue::HostEvent, reason::DisconnectReason,
    selection::Flags, socket::Socket, writes::Writes,
};
/// The receiving half: namespaces joined, and a packet whose attachments are on their way.
pub(crate) struct Inbound {
    pub(crate) entries: SmallVec<[(Arc<str>, Entry); 1]>,
    pub(crate) assembler: Assembler,
    pub(crate) is_open: bool,
    /// Whether the host wants to be told of the end.
    pub(crate) is_watched: bool,
}

/// How far a client is with joining a namespace.
pub(crate) enum Entry {
    /// The host is asked whether the namespace shall exist. The task that waits for its word ends when this is dropped.
    Asking(#[expect(dead_code, reason = "it is there to be dropped")] oneshot::Sender<Infallible>),
    /// The host is asked whether the client may join.
    Pending(Arc<Socket>),
    /// The client has joined.
    Joined(Arc<Socket>),
}

impl Inbound {
    /// The entry of a namespace.
    pub(crate) fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|(known, _)| **known == *name).map(|(_, entry)| entry)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Entry> {
        let idx = self.entries.iter().position(|(known, _)| **known == *name)?;
        Some(self.entries.swap_remove(idx).1)
    }

    fn joined(&self) -> Vec<Arc<Socket>> {
        let joined = |(_, entry): &(Arc<str>, Entry)| match entry {
            Entry::Joined(socket) => Some(socket.clone()),
            Entry::Asking(_) | Entry::Pending(_) => None,
        };
        self.entries.iter().filter_map(joined).collect()
    }
}

impl Connection {
    /// Marks a socket as joined. Returns whether its client is still there.
    pub(crate) fn joined(self: &Arc<Self>, socket: &Arc<Socket>) -> bool {
        let mut inbound = self.inbound.lock();
        let Some(entry) = inbound.entry(socket.namespace().name()) else { return false };
        match entry {
            Entry::Pending(pending) if Arc::ptr_eq(pending, socket) => *entry = Entry::Joined(socket.clone()),
            _ => return false,
        }
        drop(inbound);
        self.has_joined();
        true
    }

    /// Tells the client that it may not join a namespace, and forgets that it asked.
    pub(crate) fn refuse(
        self: &Arc<Self>,
        name: &str,
        message: &str,
        data: Option<&str>,
        writes: &mut Writes,
    ) {
        let message = serde_json::Value::from(message).to_string();
        let text = match (self.protocol, data) {
            (Protocol::V3, data) => data.unwrap_or(&message).to_owned(),
            (Protocol::V4, None) => format!(r#"{{"message":{message}}}"#),
            (Protocol::V4, Some(data)) => format!(r#"{{"message":{message},"data":{data}}}"#),
        };
        self.refuse_with(name, text, writes);
    }

    /// Tells the client that it may not join a namespace, in a text of its own.
    pub(crate) fn refuse_with(self: &Arc<Self>, name: &str, text: String, writes: &mut Writes) {
        let removed = self.inbound.lock().remove(name);
        if let Some(Entry::Pending(socket)) = removed {
            socket.left();
        }
        self.send_refusal(name, text, writes);
    }

    /// Queues a `CONNECT_ERROR` packet.
    pub(crate) fn send_refusal(self: &Arc<Self>, name: &str, text: String, writes: &mut Writes) {
        let packet = self.encoder().connect_error(name, text);
        self.push(&packet, Class::Control, Flags::default(), writes);
    }

    /// Puts the client out of one namespace.
    pub(crate) fn disconnect(
        self: &Arc<Self>,
        socket: &Arc<Socket>,
        writes: &mut Writes,
    ) -> Option<Departure> {
        let mut inbound = self.inbound.lock();
        let name = socket.namespace().name().clone();
        match inbound.entry(&name) {
            Some(Entry::Joined(joined)) if Arc::ptr_eq(joined, socket) => inbound.remove(&name),
            _ => return None,
        };
        socket.put_out();
        let was_joined = socket.left();
        drop(inbound);
        self.send_disconnect(&name, writes);
        was_joined.then(|| socket.depart(DisconnectReason::ServerNamespaceDisconnect))
    }

    /// Puts the client out of every namespace, and closes the connection.
    pub(crate) fn disconnect_all(self: &Arc<Self>, writes: &mut Writes) -> Vec<Departure> {
        let sockets = self.inbound.lock().joined();
        let departures = sockets.iter().filter_map(|socket| self.disconnect(socket, writes)).collect();
        self.close(CloseReason::ForcedClose);
        departures
    }

    fn send_disconnect(self: &Arc<Self>, name: &str, writes: &mut Writes) {
        let packet = self.encoder().disconnect(name);
        self.push(&packet, Class::Control, Flags::default(), writes);
    }

    /// Ends every socket of the connection, and tells the host.
    pub(crate) fn end(self: &Arc<Self>, reason: DisconnectReason) {
        let mut inbound = self.inbound.lock();
        // Under the lock, so that no event of a socket can come after its disconnect.
        for departure in self.vacate(&mut inbound, reason) {
            self.server.queue.push(HostEvent::Disconnect(departure));
        }
        self.tell_end(&mut inbound, reason);
    }

    /// Ends the connection at the host's own word. Returns the sockets that leave by it, as
    /// [`Socket::disconnect`] does; their reason is `forced close`.
    pub fn force_close(self: &Arc<Self>) -> Vec<Departure> {
        let reason = DisconnectReason::Connection(CloseReason::ForcedClose);
        let mut inbound = self.inbound.lock();
        let departures = self.vacate(&mut inbound, reason);
        for departure in &departures {
            departure.socket().put_out();
        }
        self.tell_end(&mut inbound, reason);
        drop(inbound);
        self.close(CloseReason::ForcedClose);
        departures
    }

    /// Has the host told of the connection's end by [`HostEvent::ConnectionEnd`]. Returns `false` when that has been:
    /// nothing will be told then.
    pub fn watch(&self) -> bool {
        let mut inbound = self.inbound.lock();
        inbound.is_watched = true;
        inbound.is_open
    }

    /// Takes all sockets out. Those that were not let in yet are told of here.
    fn vacate(&self, inbound: &mut Inbound, reason: DisconnectReason) -> Vec<Departure> {
        inbound.assembler = Assembler::new();
        let mut departures = Vec::new();
        for (namespace, entry) in std::mem::take(&mut inbound.entries) {
            let socket = match entry {
                Entry::Joined(socket) => {
                    if socket.left() {
                        departures.push(socket.depart(reason));
                    }
                    continue;
                }
                Entry::Pending(socket) => {
                    socket.left();
                    Some(socket)
                }
                Entry::Asking(_) => None,
            };
            self.server.queue.push(HostEvent::Withdrawn { namespace, socket, reason });
        }
        departures
    }

    /// Tells of the end once, where the host wants to know.
    fn tell_end(&self, inbound: &mut Inbound, reason: DisconnectReason) {
        if std::mem::replace(&mut inbound.is_open, false) && inbound.is_watched {
            self.server.queue.push(HostEvent::ConnectionEnd { id: self.id.clone(), reason });
        }
    }
}
