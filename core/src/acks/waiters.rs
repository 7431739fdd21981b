//! Who waits for the acks of one socket.

use std::{collections::BTreeMap, fmt, sync::Arc};

use smallvec::SmallVec;

use ferrio_engine::DeadlineKey;

use crate::packet::payload::Payload;

/// Gathers the answers of many sockets.
pub(crate) trait Collect: fmt::Debug + Send + Sync {
    /// Says how many answers are expected, once everyone has been asked.
    fn expect(&self, n_asked: usize);

    /// Takes one answer.
    fn answer(&self, payload: Payload);

    /// Takes note of a socket that has left without an answer.
    fn gone(&self);

    /// Whether the wait ends at a certain time.
    fn has_deadline(&self) -> bool;

    /// Whether the outcome has been reported.
    fn is_over(&self) -> bool;
}

/// Up to this many waiters are looked through one by one: most sockets have none or one, which then takes no memory of
/// its own.
const FEW: usize = 16;

/// Who waits for one ack.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The host, by its token.
    One { token: u64, deadline: Option<DeadlineKey> },
    /// The host, for the answers of many sockets together.
    Many(Arc<dyn Collect>),
}

/// The waiters of one socket, by the ids of the acks. They are as many as the host has asked for and not yet got; the
/// client decides in which order they go.
#[derive(Debug)]
pub(crate) enum Waiters {
    Few(SmallVec<[(u64, Waiter); 1]>),
    Many { by_id: BTreeMap<u64, Waiter>, prune_at: usize },
}

impl Default for Waiters {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Waiters {
    pub(crate) fn insert(&mut self, id: u64, waiter: Waiter) {
        match self {
            Self::Few(waiters) if waiters.len() < FEW => waiters.push((id, waiter)),
            Self::Few(waiters) => {
                let mut by_id: BTreeMap<_, _> = std::mem::take(waiters).into_iter().collect();
                by_id.insert(id, waiter);
                *self = Self::Many { by_id, prune_at: FEW };
                self.prune();
            }
            Self::Many { by_id, .. } => {
                by_id.insert(id, waiter);
                self.prune();
            }
        }
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Waiter> {
        match self {
            Self::Few(waiters) => {
                let place = waiters.iter().position(|(waiting, _)| *waiting == id)?;
                Some(waiters.remove(place).1)
            }
            Self::Many { by_id, .. } => {
                let removed = by_id.remove(&id);
                if by_id.is_empty() {
                    *self = Self::default();
                }
                removed
            }
        }
    }

    /// Takes out the host's wait of this token.
    pub(crate) fn remove_token(&mut self, token: u64) -> Option<Waiter> {
        let is_meant = |waiter: &Waiter| matches!(waiter, Waiter::One { token: own, .. } if *own == token);
        let id = match self {
            Self::Few(waiters) => waiters.iter().find(|(_, waiter)| is_meant(waiter)).map(|(id, _)| *id),
            Self::Many { by_id, .. } => by_id.iter().find(|(_, waiter)| is_meant(waiter)).map(|(id, _)| *id),
        };
        self.remove(id?)
    }

    /// Takes all waiters out, in the order of the emits.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        let (few, many) = match std::mem::take(self) {
            Self::Few(waiters) => (waiters, BTreeMap::new()),
            Self::Many { by_id, .. } => (SmallVec::new(), by_id),
        };
        few.into_iter().chain(many).map(|(_, waiter)| waiter)
    }

    /// Drops those that are over when there are twice as many as last time: a client that never answers must not
    /// gather the broadcasts it was asked in.
    fn prune(&mut self) {
        if let Self::Many { by_id, prune_at } = self
            && by_id.len() >= *prune_at
        {
            by_id.retain(|_, waiter| !matches!(waiter, Waiter::Many(collector) if collector.is_over()));
            *prune_at = FEW.max(2 * by_id.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_are_found_in_any_order_and_taken_in_the_order_of_their_ids() {
        let one = |token| Waiter::One { token, deadline: None };
        for n_waiters in [1, FEW as u64, 1000] {
            let mut waiters = Waiters::default();
            for id in 0..n_waiters {
                waiters.insert(id, one(id));
            }
            assert!(waiters.remove(n_waiters).is_none());
            for id in (0..n_waiters).rev().step_by(2) {
                assert!(matches!(waiters.remove(id), Some(Waiter::One { token, .. }) if token == id));
                assert!(waiters.remove(id).is_none());
            }
            let left = waiters.take().map(|waiter| match waiter {
                Waiter::One { token, .. } => token,
                Waiter::Many(_) => unreachable!("none was put in"),
            });
            assert!(left.eq((0..n_waiters).filter(|id| (n_waiters - 1 - id) % 2 == 1)));
            assert!(matches!(waiters, Waiters::Few(_)));
        }
    }
}
