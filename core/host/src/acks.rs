//! Who waits for which ack.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ahash::HashMap;
use ferrio::{AckRequest, Awaited, Socket};
use parking_lot::Mutex;

/// Those who wait, by the tokens that the core tells them by: callbacks, futures, whatever a language has for it.
#[derive(Debug)]
pub struct Acks<T> {
    waiting: Mutex<HashMap<u64, Expected<T>>>,
    next_token: AtomicU64,
}

#[derive(Debug)]
struct Expected<T> {
    target: T,
    /// Tells the core, since handlers of those who are asked may be at work until they answer.
    _awaited: Vec<Awaited>,
}

impl<T> Acks<T> {
    /// Notes who waits for an ack of these sockets.
    pub fn expect<'a>(
        &self,
        target: T,
        timeout: Option<Duration>,
        sockets: impl IntoIterator<Item = &'a Arc<Socket>>,
    ) -> AckRequest {
        // 0 is for those who want no ack.
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let awaited = sockets.into_iter().map(|socket| socket.await_ack()).collect();
        self.waiting.lock().insert(token, Expected { target, _awaited: awaited });
        AckRequest { token, timeout }
    }

    /// Who waits for an ack, once.
    pub fn take(&self, token: u64) -> Option<T> {
        let expected = self.waiting.lock().remove(&token);
        expected.map(|expected| expected.target)
    }

    /// Forgets everybody.
    pub fn clear(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        // Outside of the lock: what goes with it may be anything.
        drop(waiting);
    }

    /// How many acks are waited for.
    pub fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` for everybody who waits, unless the table is in use at this moment: for garbage collectors, which
    /// may come at any time.
    ///
    /// # Errors
    /// The first that `visit` returns.
    pub fn try_visit<E>(&self, mut visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        let Some(waiting) = self.waiting.try_lock() else { return Ok(()) };
        waiting.values().try_for_each(|expected| visit(&expected.target))
    }
}

impl<T> Default for Acks<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), next_token: AtomicU64::new(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ack_is_told_once_and_to_who_asked_for_it() {
        let acks = Acks::default();
        let timeout = Some(Duration::from_secs(1));
        let [first, second] = ["first", "second"].map(|target| acks.expect(target, timeout, []));
        assert!(first.token != 0 && first.token != second.token && first.timeout == timeout);
        assert_eq!((acks.take(second.token), acks.take(second.token)), (Some("second"), None));
        let mut seen = Vec::new();
        let visited: Result<(), ()> = acks.try_visit(|target| {
            assert_eq!(acks.try_visit(|_| Err("it is in use")), Ok(()));
            seen.push(*target);
            Ok(())
        });
        assert_eq!((visited, seen, acks.len()), (Ok(()), vec!["first"], 1));
        acks.clear();
        assert!(acks.is_empty() && acks.take(first.token).is_none());
    }
}
