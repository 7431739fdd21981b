//! How a client joins a namespace.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use ferrio_protocol::engine::Protocol;
use parking_lot::MutexGuard;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::{
    admission::Admission,
    connection::{Connection, Entry, Inbound},
    ids::random_id,
    namespace::Namespace,
    payload::Payload,
    queue::{Answer, HostEvent},
    recovery::Restored,
    runtime::runtime,
    socket::Socket,
    writes::Writes,
};

/// Random bytes of a socket's id: 120 bits, 20 characters, as in socket.io.
const ID_BYTES: usize = 15;

/// Takes a CONNECT packet for a namespace the client is not in. The lock is given up, because it may take functions of
/// the host to say whether the namespace exists.
pub(crate) fn requested(
    connection: &Arc<Connection>,
    mut inbound: MutexGuard<'_, Inbound>,
    name: &str,
    query: Option<&str>,
    auth: Payload,
    writes: &mut Writes,
) {
    let server = connection.server();
    let auth = if connection.protocol() == Protocol::V3 { query_as_auth(query) } else { auth };
    if inbound.entries.len() >= server.config.limits.max_namespaces_per_connection {
        return connection.send_refusal(name, error_text(connection, "too many namespaces"), writes);
    }
    if let Some(namespace) = server.find_for_client(name) {
        return ask_host(connection, &mut inbound, namespace, auth);
    }
    let name: Arc<str> = Arc::from(name);
    let (asking, gone) = oneshot::channel();
    inbound.entries.push((name.clone(), Entry::Asking(asking)));
    drop(inbound);
    let matched = server.match_for_client(&name);
    if matched.is_none() && server.config.ask_namespace {
        return ask_for_namespace(connection, name, auth, gone);
    }
    decided(connection, &name, matched, auth, writes);
}

/// Joins the main namespace for a client of the older protocol, which does not ask.
pub(crate) fn older_client(connection: &Arc<Connection>) {
    let server = connection.server();
    let Some(namespace) = server.find_for_client("/").or_else(|| server.match_for_client("/")) else {
        return;
    };
    let mut inbound = connection.inbound.lock();
    if inbound.is_open {
        ask_host(connection, &mut inbound, namespace, Payload::new("{}", Vec::new()));
    } else {
        namespace.turned_away();
    }
}

/// Asks the host whether a namespace exists; `gone` fails when the client has left meanwhile.
fn ask_for_namespace(
    connection: &Arc<Connection>,
    name: Arc<str>,
    auth: Payload,
    gone: oneshot::Receiver<Infallible>,
) {
    let server = connection.server();
    let (answer, decision) = Answer::new();
    let handshake = connection.handshake().clone();
    server.queue.push(HostEvent::Namespace { name: name.clone(), auth: auth.clone(), handshake, answer });
    let connection = Arc::downgrade(connection);
    // Ends with the host's decision, when the host drops the question, or when the client leaves.
    runtime().spawn(async move {
        let exists = tokio::select! {
            decided = decision => decided.unwrap_or(false),
            _ = gone => return,
        };
        let Some(connection) = connection.upgrade() else { return };
        let namespace = exists.then(|| connection.server().find_for_client(&name)).flatten();
        decided(&connection, &name, namespace, auth, &mut Writes::new());
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
    let mut inbound = connection.inbound.lock();
    let still_asks = matches!(inbound.entry(name), Some(Entry::Asking(_)));
    if still_asks {
        inbound.remove(name);
    }
    match namespace {
        Some(namespace) if still_asks => ask_host(connection, &mut inbound, namespace, auth),
        Some(namespace) => namespace.turned_away(),
        None if still_asks => {
            let text = connection.server().config.unknown_namespace.clone();
            connection.send_refusal(name, text, writes);
        }
        None => {}
    }
}

/// Asks the host whether the client may join a namespace that expects it.
fn ask_host(connection: &Arc<Connection>, inbound: &mut Inbound, namespace: Arc<Namespace>, auth: Payload) {
    let restored = restore(connection, &namespace, &auth);
    let id = match &restored {
        Some(restored) => restored.session.id.clone(),
        None => new_id(connection, namespace.name()),
    };
    let name = namespace.name().clone();
    let socket = Arc::new(Socket::new(namespace, connection.clone(), id, restored.as_ref()));
    inbound.entries.push((name, Entry::Pending(socket.clone())));
    let admission = Admission::new(socket.clone(), restored);
    connection.server().queue.push(HostEvent::Connect { socket, auth, admission });
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
    if !namespace.keeps_events || auth.is_empty() || connection.protocol() == Protocol::V3 {
        return None;
    }
    let claim: Claim = serde_json::from_str(auth.text()).ok()?;
    namespace.restore_session(&claim.pid, claim.offset.as_deref())
}

/// In the older protocol a namespace carries a query instead of authentication data.
fn query_as_auth(query: Option<&str>) -> Payload {
    let pairs: BTreeMap<_, _> = crate::handshake::parse_query(query.unwrap_or_default()).collect();
    Payload::new(serde_json::to_string(&pairs).unwrap_or_default(), Vec::new())
}

fn error_text(connection: &Connection, message: &str) -> String {
    match connection.protocol() {
        Protocol::V3 => format!(r#""{message}""#),
        Protocol::V4 => format!(r#"{{"message":"{message}"}}"#),
    }
}
