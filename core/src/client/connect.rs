//! How a client connects to a namespace.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use ferrio_engine::{Encoded, Protocol, SendOptions, parse_query, random_id, runtime};
use ferrio_protocol::json;
use parking_lot::MutexGuard;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::{
    Writes,
    client::{
        Entry, Inbound,
        disconnect::{is_silent, send_refusal},
    },
    event::{Answer, ConnectRequest, HostEvent},
    namespace::Namespace,
    packet::payload::Payload,
    rooms::log::Restored,
    socket::{Socket, Stage},
    socket_io::Connection,
};

/// Random bytes of a socket's id: 120 bits, 20 characters, as in socket.io.
const ID_BYTES: usize = 15;

/// Takes a CONNECT packet for a namespace the client is not in. The lock is given up when the namespace does not exist yet.
pub(crate) fn requested(
    connection: &Arc<Connection>,
    mut inbound: MutexGuard<'_, Inbound>,
    name: &str,
    query: Option<&str>,
    auth: Payload,
) {
    let server = connection.layer();
    let has_query = connection.protocol() == Protocol::V3 && !is_silent(connection);
    let auth = if has_query { query_as_auth(query) } else { auth };
    if inbound.entries.len() >= server.config.limits.max_namespaces_per_connection {
        drop(inbound);
        return tell_refused(connection, name, error_text(connection, "too many namespaces"));
    }
    if let Some(namespace) = server.find_for_client(name) {
        return ask_host(connection, &mut inbound, namespace, auth);
    }
    let allows_any = server.allows_any_namespace.load(Ordering::Relaxed);
    if !allows_any && !server.config.ask_namespace {
        drop(inbound);
        return tell_refused(connection, name, server.config.unknown_namespace.clone());
    }
    let name: Arc<str> = Arc::from(name);
    let (asking, gone) = oneshot::channel();
    inbound.entries.push((name.clone(), Entry::Asking(asking)));
    drop(inbound);
    let decision = (!allows_any).then(|| ask_for_namespace(connection, name.clone(), auth.clone()));
    make_namespace(connection, name, auth, decision, gone);
}

/// Tells the client, right away, that it may not connect.
fn tell_refused(connection: &Arc<Connection>, name: &str, text: String) {
    send_refusal(connection, name, text, &mut Writes::new());
}

/// Connects a client of the older protocol to the main namespace, for which it does not ask.
pub(crate) fn older_client(connection: &Arc<Connection>) {
    let Some(namespace) = connection.layer().find_for_client("/") else { return };
    let mut inbound = connection.state().inbound.lock();
    // Under an id that the host gave it and others may know, it may have asked all the same, before it was told of.
    if inbound.is_open && inbound.entry("/").is_none() {
        ask_host(connection, &mut inbound, namespace, Payload::new("{}", Vec::new()));
    } else {
        namespace.turned_away();
    }
}

/// Asks the host whether a namespace shall exist.
fn ask_for_namespace(connection: &Arc<Connection>, name: Arc<str>, auth: Payload) -> oneshot::Receiver<bool> {
    let (answer, decision) = Answer::new();
    let handshake = connection.handshake().clone();
    connection.layer().queue.push(HostEvent::Namespace { name, auth, handshake, answer });
    decision
}

/// Makes a namespace that does not exist yet, once the host has decided on it if it was asked; `gone` fails when the client
/// has left meanwhile.
fn make_namespace(
    connection: &Arc<Connection>,
    name: Arc<str>,
    auth: Payload,
    decision: Option<oneshot::Receiver<bool>>,
    gone: oneshot::Receiver<Infallible>,
) {
    let server = connection.layer().clone();
    let connection = Arc::downgrade(connection);
    // Ends with the host's decision, when the host drops the question, or when the client leaves.
    runtime().spawn(async move {
        if let Some(decision) = decision {
            let is_wanted = tokio::select! {
                decided = decision => decided.unwrap_or(false),
                _ = gone => return,
            };
            if !is_wanted {
                let Some(connection) = connection.upgrade() else { return };
                return decided(&connection, &name, None, auth, &mut Writes::new());
            }
        }
        let namespace = match server.find_for_client(&name) {
            None => {
                let name = name.clone();
                // The host's own adapter is made and started with it.
                runtime().spawn_blocking(move || server.make_for_client(&name)).await.ok().flatten()
            }
            found => found,
        };
        match (connection.upgrade(), namespace) {
            (Some(connection), namespace) => decided(&connection, &name, namespace, auth, &mut Writes::new()),
            (None, Some(namespace)) => namespace.turned_away(),
            (None, None) => {}
        }
    });
}

/// Goes on once it is known whether there is a namespace for a client that asked for it.
fn decided(
    connection: &Arc<Connection>,
    name: &str,
    namespace: Option<Arc<Namespace>>,
    auth: Payload,
    writes: &mut Writes,
) {
    let mut inbound = connection.state().inbound.lock();
    let still_asks = matches!(inbound.entry(name), Some(Entry::Asking(_)));
    if still_asks {
        inbound.remove(name);
    }
    match namespace {
        Some(namespace) if still_asks => ask_host(connection, &mut inbound, namespace, auth),
        Some(namespace) => namespace.turned_away(),
        None if still_asks => {
            let text = connection.layer().config.unknown_namespace.clone();
            send_refusal(connection, name, text, writes);
        }
        None => {}
    }
}

/// Asks the host whether the client may connect to a namespace that expects it.
fn ask_host(connection: &Arc<Connection>, inbound: &mut Inbound, namespace: Arc<Namespace>, auth: Payload) {
    let restored = restore(connection, &namespace, &auth);
    let id = match &restored {
        Some(restored) => restored.session.id.clone(),
        None => new_id(connection, namespace.name()),
    };
    let name = namespace.name().clone();
    let socket = Arc::new(Socket::new(namespace, connection.clone(), id, restored.as_ref()));
    inbound.entries.push((name, Entry::Pending(socket.clone())));
    let connect_request = ConnectRequest::new(socket.clone(), restored);
    connection.layer().queue.push(HostEvent::Connect { socket, auth, connect_request });
}

/// Clients of the older protocol derive a socket's id from that of the session.
fn new_id(connection: &Connection, namespace: &str) -> Arc<str> {
    match connection.protocol() {
        Protocol::V4 => Arc::from(random_id(ID_BYTES)),
        Protocol::V3 if namespace == "/" => connection.id().clone(),
        Protocol::V3 => Arc::from(format!("{namespace}#{}", connection.id())),
    }
}

fn restore(connection: &Connection, namespace: &Namespace, auth: &Payload) -> Option<Restored> {
    #[derive(Deserialize)]
    struct Claim {
        pid: String,
        #[serde(default)]
        offset: Option<String>,
    }
    if !namespace.keeps_events() || auth.is_empty() || connection.protocol() == Protocol::V3 {
        return None;
    }
    let claim: Claim = serde_json::from_str(auth.text()).ok()?;
    namespace.restore_session(&claim.pid, claim.offset.as_deref())
}

/// In the older protocol a namespace carries a query instead of authentication data.
fn query_as_auth(query: Option<&str>) -> Payload {
    let pairs: BTreeMap<_, _> = parse_query(query.unwrap_or_default()).collect();
    Payload::new(serde_json::to_string(&pairs).unwrap_or_default(), Vec::new())
}

fn error_text(connection: &Connection, message: &str) -> String {
    match connection.protocol() {
        Protocol::V3 => format!(r#""{message}""#),
        Protocol::V4 => format!(r#"{{"message":"{message}"}}"#),
    }
}

impl Socket {
    /// Lets the client in: the events it missed, its CONNECT packet, what was sent to it meanwhile; then others can
    /// reach it. Returns whether the client was still there.
    pub(crate) fn accept(self: &Arc<Self>, restored: Option<Restored>, writes: &mut Writes) -> bool {
        let (namespace, connection) = (self.namespace(), self.connection());
        let is_there = connected(connection, self);
        let mut rooms = namespace.rooms.lock();
        let mut stage = self.stage.lock();
        let waiting = match &mut *stage {
            Stage::Pending(waiting) if is_there => std::mem::take(waiting),
            _ => {
                drop(stage);
                if let (Some(log), Some(_)) = (&mut rooms.log, &self.recovery) {
                    // It may come back once more.
                    let session = restored.map(|restored| restored.session);
                    let former = session.as_ref().map(|session| session.key);
                    if !session.is_some_and(|session| namespace.keep(log, session, Instant::now())) {
                        namespace.forget_sessions(former);
                    }
                    log.client_disconnected();
                }
                return false;
            }
        };
        if let (Some(log), Some(restored)) = (&rooms.log, &restored) {
            for (position, payload) in log.missed(restored) {
                self.addressed(position);
                self.push_missed(&log.with_offset(payload, position), writes);
            }
            namespace.server.counters.recovered.add(1);
        }
        if !is_silent(connection) {
            // Simple clients, the public protocol suite among them, wait for this one message and only then listen for
            // the next, which they can miss when both come in one read. In socket.io, too, it leaves in a write of its own.
            connection.push_alone(&self.connect_packet(), namespace.server.config.connect_pause, writes);
        }
        for (packet, flags) in &waiting.events {
            connection.push(packet, (*flags).into(), writes);
        }
        *stage = Stage::Connected;
        namespace.server.counters.sockets.add(1);
        drop(stage);
        let restored_rooms = restored.into_iter().flat_map(|restored| restored.session.rooms.to_vec());
        namespace.enter(&mut rooms, self, restored_rooms.chain(waiting.rooms.to_vec()));
        drop(rooms);
        namespace.tell_adapter();
        tracing::debug!(namespace = %namespace.name(), socket = %self.id(), "client joined a namespace");
        true
    }

    /// Sends an event that the client has missed, before it is let in: for hosts that keep such events themselves.
    pub fn replay(&self, missed: &Payload, writes: &mut Writes) {
        if matches!(*self.stage.lock(), Stage::Pending(_)) {
            self.push_missed(missed, writes);
        }
    }

    /// Queues an event that stands before the client's CONNECT packet.
    fn push_missed(&self, missed: &Payload, writes: &mut Writes) {
        let packet = self.encoder().event(self.namespace().name(), None, missed);
        // No policy may drop it: the client could not know that something is missing.
        self.connection().push(&packet, SendOptions::default(), writes);
    }

    fn connect_packet(&self) -> Encoded {
        // Enough for both texts, unless the host has chosen longer ones.
        let mut data = String::with_capacity(64);
        data.push_str(r#"{"sid":"#);
        json::write_string(&mut data, self.id());
        if let Some(recovery) = &self.recovery {
            data.push_str(r#","pid":"#);
            json::write_string(&mut data, &recovery.private_id);
        }
        data.push('}');
        self.encoder().connect(self.namespace().name(), data)
    }
}

/// Marks a socket as connected. Returns whether its client is still there.
fn connected(connection: &Connection, socket: &Arc<Socket>) -> bool {
    let mut inbound = connection.state().inbound.lock();
    let Some(entry) = inbound.entry(socket.namespace().name()) else { return false };
    match entry {
        Entry::Pending(pending) if Arc::ptr_eq(pending, socket) => *entry = Entry::Connected(socket.clone()),
        _ => return false,
    }
    inbound.due.connect = None;
    true
}
