//! The server's side of Socket.IO's [admin UI](https://socket.io/docs/v4/admin-ui/): what it shows to admin clients.
//!
//! Nothing of this passes through the host's language. While no admin client is connected nothing is counted beyond the
//! server's own counters, nothing is noted, and no task runs.
//!
//! | file | job |
//! |---|---|
//! | `options` | what it is told, and how often |
//! | `attempts`, `login` | how often somebody may try to log in; who is let in |
//! | `data` | what the application keeps with sockets |
//! | `record` | a socket, as the UI shows it |
//! | `message` | the events of the UI |
//! | `stats` | counters since they were last asked for |
//! | `watcher` | one admin client: what it is shown, as fast as it reads |
//! | `shared` | what that task shares with those who bring it clients |
//! | `feed` | the task that feeds them all |

mod attempts;
mod data;
mod feed;
mod login;
mod message;
mod options;
mod record;
mod shared;
mod stats;
mod watcher;

use std::{fmt, sync::Arc};

use ferrio::{Server, Socket, runtime};

use shared::Shared;

pub use attempts::Attempts;
pub use login::{Login, NoHash, Verdict};
pub use options::{AdminOptions, STATS_INTERVAL};

/// Shows a server to admin clients. Ends when it is dropped.
pub struct Admin {
    shared: Arc<Shared>,
}

impl Admin {
    /// Shows a server from now on, to those who are let in by [`show_to`](Self::show_to).
    pub fn new(server: Server, options: AdminOptions) -> Self {
        server.namespace(&options.namespace).hide_events();
        Self { shared: Arc::new(Shared::new(server, options)) }
    }

    /// Shows the server to a client of the admin namespace until it leaves, from the moment on at which it is connected.
    pub fn show_to(&self, socket: Arc<Socket>) {
        let mut state = self.shared.state.lock();
        state.newcomers.push(socket);
        self.shared.came.notify_one();
        if state.feed.is_none() {
            let observer = self.shared.options.shows_all.then(|| self.shared.server.observe());
            // Ends when the last admin client has left, or with this object.
            state.feed = Some(runtime().spawn(feed::run(self.shared.clone(), observer)));
        }
    }

    /// Says what the application keeps with a socket, as JSON text. It is shown while a client is, and then forgotten.
    pub fn set_data(&self, socket: Arc<Socket>, data: impl Into<Arc<str>>) {
        // Under the lock, so that it is not set when the last client has just left.
        let state = self.shared.state.lock();
        if state.feed.is_some() {
            self.shared.data.set(socket, data.into());
            self.shared.came.notify_one();
        }
    }

    /// How many tasks run: one while an admin client is connected. For tests.
    pub fn n_feeds(&self) -> usize {
        usize::from(self.shared.state.lock().feed.is_some())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let feed = self.shared.state.lock().feed.take();
        if let Some(feed) = feed {
            feed.abort();
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
