//! The counters of a server since they were last asked for.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use ferrio::{Metrics, Payload, Server};
use ferrio_protocol::json::write_string;

use crate::admin::{
    options::AdminOptions,
    record::{list, millis},
};

/// Tells what was counted from one time to the next.
pub(super) struct Stats {
    last: Metrics,
}

/// One line of the UI's `aggregatedEvents`.
struct Counted {
    kind: &'static str,
    reason: Option<&'static str>,
    n: u64,
}

impl Stats {
    pub(super) fn new(server: &Server) -> Self {
        Self { last: server.metrics() }
    }

    /// The UI's event, with what was counted since the last.
    pub(super) fn next(&mut self, server: &Server, options: &AdminOptions, uptime: Duration) -> Payload {
        let now = server.metrics();
        let counted = counted(&self.last, &now);
        self.last = now;
        let mut text = String::from(r#"["server_stats",{"serverId":"#);
        write_string(&mut text, &options.server_id);
        text.push_str(r#","hostname":"#);
        write_string(&mut text, &options.hostname);
        let _ = write!(
            text,
            r#","pid":{},"uptime":{},"clientsCount":{},"pollingClientsCount":{},"aggregatedEvents":"#,
            std::process::id(),
            uptime.as_secs_f64(),
            server.engine().n_sessions(),
            now.engine.connections_polling,
        );
        // The UI has one figure for a second at most.
        let second = millis(SystemTime::now()) / 1000 * 1000;
        list(&mut text, '[', ']', counted, |out, Counted { kind, reason, n }| {
            let _ = write!(out, r#"{{"timestamp":{second},"type":"{kind}","#);
            if let Some(reason) = reason {
                out.push_str(r#""subType":"#);
                write_string(out, reason);
                out.push(',');
            }
            let _ = write!(out, r#""count":{n}}}"#);
        });
        let mut namespaces = server.namespaces();
        namespaces.sort_by(|a, b| a.name().cmp(b.name()));
        text.push_str(r#","namespaces":"#);
        list(&mut text, '[', ']', namespaces, |out, namespace| {
            out.push_str(r#"{"name":"#);
            write_string(out, namespace.name());
            let _ = write!(out, r#","socketsCount":{}}}"#, namespace.n_sockets());
        });
        text.push_str("}]");
        Payload::new(text, Vec::new())
    }
}

/// What was counted between two snapshots, without what was not.
fn counted(last: &Metrics, now: &Metrics) -> Vec<Counted> {
    let (last, now) = (&last.engine, &now.engine);
    let plain = [
        ("rawConnection", now.connections_opened - last.connections_opened),
        ("packetsIn", now.packets_in - last.packets_in),
        ("packetsOut", now.packets_out - last.packets_out),
        ("bytesIn", now.bytes_in - last.bytes_in),
        ("bytesOut", now.bytes_out - last.bytes_out),
    ];
    let plain = plain.map(|(kind, n)| Counted { kind, reason: None, n });
    let closed = now.closed().into_iter().zip(last.closed()).map(|((reason, n), (_, before))| Counted {
        kind: "rawDisconnection",
        reason: Some(reason.as_str()),
        n: n - before,
    });
    plain.into_iter().chain(closed).filter(|counted| counted.n > 0).collect()
}
