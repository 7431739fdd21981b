//! The task that feeds all admin clients of a server.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use ahash::HashMap;
use ferrio::{Observed, Observer, Socket, SocketKey, TransportKind, Writes};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::admin::{
    message,
    shared::Shared,
    stats::Stats,
    watcher::{Shown, Watcher},
};

/// A client that is being told of all sockets is told of some so often. Others have the thread in between.
const STEP: Duration = Duration::from_millis(5);

/// Of what has happened so much is passed on in one go.
const MAX_AT_ONCE: usize = 256;

struct Feed {
    shared: Arc<Shared>,
    observer: Option<Observer>,
    watchers: Vec<Watcher>,
    stats: Stats,
    /// Sockets that were shown with polling, and may have upgraded since.
    polling: HashMap<SocketKey, Weak<Socket>>,
}

/// Feeds the admin clients until the last has left.
pub(super) async fn run(shared: Arc<Shared>, observer: Option<Observer>) {
    let stats = Stats::new(&shared.server);
    let mut feed =
        Feed { shared: shared.clone(), observer, watchers: Vec::new(), stats, polling: HashMap::default() };
    // The first figures come soon, and are not nothing.
    let period = shared.options.interval;
    let mut ticks = interval_at(Instant::now() + period.min(FIRST), period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_busy = feed.watchers.iter().any(Watcher::is_busy);
        tokio::select! {
            () = shared.came.notified() => feed.welcome(),
            () = noted(feed.observer.as_ref()) => feed.pass_on().await,
            () = sleep(STEP), if is_busy => {}
            _ = ticks.tick() => {
                feed.pass_on().await;
                feed.tick();
            }
        }
        feed.go_on();
        if feed.watchers.is_empty() && feed.end() {
            return;
        }
    }
}

/// When the first counters are sent.
const FIRST: Duration = Duration::from_millis(200);

async fn noted(observer: Option<&Observer>) {
    match observer {
        Some(observer) => observer.noted().await,
        None => std::future::pending().await,
    }
}

impl Feed {
    /// Takes the clients in that have come, and shows data that has changed.
    fn welcome(&mut self) {
        let mut writes = Writes::new();
        for socket in self.shared.data.take_changed() {
            if !socket.is_connected() {
                self.shared.data.forget(&socket);
            } else if let Some(data) = self.shared.data.of(&socket) {
                let updated = message::data(&socket, &data);
                self.watchers
                    .iter_mut()
                    .for_each(|watcher| watcher.show(Shown::State, &updated, &mut writes));
            }
        }
        let newcomers = std::mem::take(&mut self.shared.state.lock().newcomers);
        self.watchers.extend(newcomers.into_iter().map(Watcher::new));
    }

    /// Goes on with what was begun for each client.
    fn go_on(&mut self) {
        let mut writes = Writes::new();
        let shared = &*self.shared;
        self.watchers.retain(|watcher| !watcher.is_gone());
        for watcher in &mut self.watchers {
            for socket in watcher.go_on(shared, &mut writes) {
                note_polling(&mut self.polling, &socket);
            }
        }
    }

    /// Shows what has happened.
    async fn pass_on(&mut self) {
        let Some(observer) = &self.observer else { return };
        let (mut observations, has_lost) = observer.take();
        while !observations.is_empty() {
            {
                let mut writes = Writes::new();
                for observation in observations.drain(..observations.len().min(MAX_AT_ONCE)) {
                    let shown = message::observed(&observation, &self.shared.options, &self.shared.data);
                    let kind = match &observation.what {
                        Observed::Received(..) | Observed::Sent(..) => Shown::Event,
                        _ => Shown::State,
                    };
                    let news = self.watchers.iter_mut().filter(|watcher| !watcher.knows(&observation.what));
                    for watcher in news {
                        watcher.show(kind, &shown, &mut writes);
                    }
                    match &observation.what {
                        Observed::Connected(socket, _) => note_polling(&mut self.polling, socket),
                        Observed::Disconnected(socket, _) => {
                            self.polling.remove(&socket.key());
                            self.shared.data.forget(socket);
                        }
                        _ => {}
                    }
                }
            }
            // The thread is not this task's alone.
            tokio::task::yield_now().await;
        }
        self.watchers.iter_mut().for_each(Watcher::is_up_to_date);
        if has_lost {
            self.watchers.iter_mut().for_each(|watcher| watcher.list_anew(&self.shared));
        }
    }

    /// Sends the counters, and which sockets have upgraded.
    fn tick(&mut self) {
        let mut writes = Writes::new();
        let uptime = self.shared.options.uptime + self.shared.started.elapsed();
        let stats = self.stats.next(&self.shared.server, &self.shared.options, uptime);
        for watcher in &self.watchers {
            watcher.count(&stats, &mut writes);
        }
        let watchers = &self.watchers;
        self.polling.retain(|_, socket| match socket.upgrade() {
            Some(socket) if socket.transport() == TransportKind::Polling => socket.is_connected(),
            Some(socket) => {
                let upgraded = message::upgraded(&socket);
                for watcher in watchers {
                    watcher.count(&upgraded, &mut writes);
                }
                false
            }
            None => false,
        });
    }

    /// Ends, unless somebody has come meanwhile.
    fn end(&mut self) -> bool {
        let mut state = self.shared.state.lock();
        let is_over = state.newcomers.is_empty();
        if is_over {
            // Under the lock: whoever comes next observes anew.
            self.observer = None;
            self.shared.data.clear();
            state.feed = None;
        }
        is_over
    }
}

fn note_polling(polling: &mut HashMap<SocketKey, Weak<Socket>>, socket: &Arc<Socket>) {
    if socket.transport() == TransportKind::Polling {
        polling.insert(socket.key(), Arc::downgrade(socket));
    }
}
