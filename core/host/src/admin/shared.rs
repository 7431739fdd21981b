//! What the task that feeds admin clients shares with those who bring it clients.

use std::sync::Arc;

use ferrio::{Server, Socket};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use crate::admin::{data::Data, options::AdminOptions};

/// What the task shares with those who bring it clients.
pub(super) struct Shared {
    pub(super) server: Server,
    pub(super) options: AdminOptions,
    pub(super) data: Data,
    pub(super) started: Instant,
    pub(super) state: Mutex<State>,
    /// Rung for a newcomer.
    pub(super) came: Notify,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) newcomers: Vec<Arc<Socket>>,
    /// The task, while somebody is fed.
    pub(super) feed: Option<JoinHandle<()>>,
}

impl Shared {
    pub(super) fn new(server: Server, options: AdminOptions) -> Self {
        Self {
            server,
            options,
            data: Data::default(),
            started: Instant::now(),
            state: Mutex::default(),
            came: Notify::new(),
        }
    }
}
