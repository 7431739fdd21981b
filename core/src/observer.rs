//! Who is shown what happens on a server.

use std::{collections::VecDeque, fmt, sync::Arc};

use crate::{event::Observation, server::Server, socket_io::SocketIo};

/// Is shown who comes and goes, the rooms they join and leave, and what is sent and received, in the order in which it
/// happens. Ends when it is dropped. Nothing is noted while there is none.
///
/// What is not taken waits, in bounded number: of events the later ones are then left out; of anything else too, in the
/// end, and the observer hears that it was.
pub struct Observer(Arc<SocketIo>);

impl Server {
    /// Observes the server. There is one observer at a time.
    pub fn observe(&self) -> Observer {
        self.shared.tap.switch(true);
        Observer(self.shared.clone())
    }
}

impl Observer {
    /// Returns when something has happened that was not taken.
    pub async fn noted(&self) {
        self.0.tap.noted().await;
    }

    /// What has happened since it was last asked, and whether something was left out that was no event.
    pub fn take(&self) -> (VecDeque<Observation>, bool) {
        self.0.tap.take()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.0.tap.switch(false);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
