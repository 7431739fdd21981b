//! What all parts of a server share: its options, its namespaces and sockets, the queue to the host.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
};

use ahash::HashMap;
use ferrio_engine::{ConfigError, Deadlines, Session};
use ferrio_protocol::socket as codec;
use parking_lot::RwLock;

use crate::{
    adapter::Adapter,
    config::{Config, Parser},
    event::{HostEvent, Observation},
    key::SocketKey,
    metrics::Counters,
    namespace::Namespace,
    queue::{HostQueue, tap::Tap},
    socket::Socket,
};

/// Socket.IO, as a layer of the engine.
pub struct SocketIo {
    pub(crate) config: Config,
    pub(crate) packet_limits: codec::Limits,
    pub(crate) queue: Arc<HostQueue<HostEvent>>,
    pub(crate) tap: Tap<Observation>,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) counters: Counters,
    pub(crate) make_adapter: MakeAdapter,
    /// Bytes of the answers that are being gathered.
    pub(crate) ack_bytes: AtomicUsize,
    pub(crate) namespaces: RwLock<HashMap<Arc<str>, Arc<Namespace>>>,
    /// Whether every namespace comes into being that a client asks for.
    pub(crate) allows_any_namespace: AtomicBool,
    pub(crate) sockets: RwLock<HashMap<SocketKey, Arc<Socket>>>,
    /// Whether the host is asked about requests that may open a session, though the options did not say so.
    pub(crate) asks_about_requests: AtomicBool,
    /// Whether the host is told of requests that are refused.
    pub(crate) tells_refusals: AtomicBool,
    /// Whether the host is told of acks for which the core does not wait.
    pub(crate) tells_unexpected_acks: AtomicBool,
    pub(crate) is_closed: AtomicBool,
}

/// One client's connection: an engine's session.
pub type Connection = Session<SocketIo>;

/// Connections that a batch of emits and acks touched.
pub type Writes = ferrio_engine::Writes<SocketIo>;

pub(crate) type MakeAdapter = Box<dyn Fn(&Arc<str>) -> Box<dyn Adapter<Namespace>> + Send + Sync>;

impl SocketIo {
    pub(crate) fn new(
        config: Config,
        wake: impl Fn() + Send + Sync + 'static,
        make_adapter: MakeAdapter,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let packet_limits = codec::Limits {
            // In the MessagePack form binary values are inline, bounded by the message.
            max_attachments: match config.parser {
                Parser::Json | Parser::Application | Parser::None => config.limits.max_attachments,
                Parser::Msgpack => usize::MAX,
            },
            max_attachment_bytes: config
                .engine
                .max_http_buffer_size
                .saturating_mul(config.limits.max_attachments.max(1)),
            max_depth: config.limits.max_depth,
            ..codec::Limits::default()
        };
        Ok(Self {
            packet_limits,
            queue: Arc::new(HostQueue::new(&config.limits, Box::new(wake))),
            config,
            tap: Tap::default(),
            deadlines: Arc::default(),
            counters: Counters::default(),
            make_adapter,
            ack_bytes: AtomicUsize::new(0),
            namespaces: RwLock::default(),
            allows_any_namespace: AtomicBool::new(false),
            sockets: RwLock::default(),
            asks_about_requests: AtomicBool::new(false),
            tells_refusals: AtomicBool::new(false),
            tells_unexpected_acks: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_msgpack(&self) -> bool {
        self.config.parser == Parser::Msgpack
    }
}

impl fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketIo")
    }
}
