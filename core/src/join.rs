//! How a client joins a namespace.

use std::{collections::BTreeMap, sync::Arc};

use ferrio_protocol::engine::Protocol;
use serde::Deserialize;

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

/// Takes a CONNECT packet for a namespace the client is not in.
pub(crate) fn requested(
    connection: &Arc<Connection>,
    inbound: &mut Inbound,
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
    if let Some(namespace) = server.expect_in(name) {
        return ask_host(connection, inbound, namespace, auth);
    }
    if server.config.ask_namespace {
        return ask_for_namespace(connection, inbound, name, auth);
    }
    connection.send_refusal(name, server.config.unknown_namespace.clone(), writes);
}

/// Joins the main namespace for a client of the older protocol, which does not ask.
pub(crate) fn older_client(connection: &Arc<Connection>) {
    let mut inbound = connection.inbound.lock();
    if let Some(namespace) = connection.server().expect_in("/") {
        ask_host(connection, &mut inbound, namespace, Payload::new("{}", Vec::new()));
    }
}

fn ask_for_namespace(connection: &Arc<Connection>, inbound: &mut Inbound, name: &str, auth: Payload) {
    let server = connection.server();
    let name: Arc<str> = Arc::from(name);
    inbound.entries.push((name.clone(), Entry::Asking));
    let (answer, decision) = Answer::new();
    let handshake = connection.handshake().clone();
    server.queue.push(HostEvent::Namespace { name: name.clone(), auth: auth.clone(), handshake, answer });
    let connection = connection.clone();
    // Ends with the host's decision, or when the host drops the question.
    runtime().spawn(async move {
        let exists = decision.await.unwrap_or(false);
        let mut writes = Writes::new();
        let mut inbound = connection.inbound.lock();
        if !matches!(inbound.remove(&name), Some(Entry::Asking)) {
            return;
        }
        match exists.then(|| connection.server().expect_in(&name)).flatten() {
            Some(namespace) => ask_host(&connection, &mut inbound, namespace, auth),
            None => connection.send_refusal(
                &name,
                connection.server().config.unknown_namespace.clone(),
                &mut writes,
            ),
        }
    });
}

/// Asks the host whether the client may join.
fn ask_host(connection: &Arc<Connection>, inbound: &mut Inbound, namespace: Arc<Namespace>, auth: Payload) {
    let restored = restore(&namespace, &auth);
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

fn restore(namespace: &Namespace, auth: &Payload) -> Option<Restored> {
    #[derive(Deserialize)]
    struct Claim {
        pid: String,
        #[serde(default)]
        offset: Option<String>,
    }
    if !namespace.keeps_events || auth.is_empty() {
        return None;
    }
    let claim: Claim = serde_json::from_str(auth.text()).ok()?;
    namespace.restore_session(&claim.pid, claim.offset.as_deref())
}

/// In the older protocol a namespace carries a query instead of authentication data.
fn query_as_auth(query: Option<&str>) -> Payload {
    let pairs: BTreeMap<String, String> = crate::handshake::parse_query(query.unwrap_or_default()).collect();
    Payload::new(serde_json::to_string(&pairs).unwrap_or_default(), Vec::new())
}

fn error_text(connection: &Connection, message: &str) -> String {
    match connection.protocol() {
        Protocol::V3 => format!(r#""{message}""#),
        Protocol::V4 => format!(r#"{{"message":"{message}"}}"#),
    }
}
