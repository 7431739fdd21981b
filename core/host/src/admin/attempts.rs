//! How often somebody may try to log in.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use ahash::HashMap;
use parking_lot::Mutex;

/// So many attempts are free.
const FREE: u32 = 10;

/// After that there is one in this time.
const ONE_IN: Duration = Duration::from_secs(5);

/// Addresses that are kept. Beyond it those that have waited the longest are forgotten.
const MAX_ADDRESSES: usize = 4096;

/// Bounds the attempts to log in, for each address. Whoever got it right may try as often as they like.
#[derive(Debug, Default)]
pub struct Attempts {
    by_address: Mutex<HashMap<String, Attempted>>,
}

#[derive(Debug, Clone, Copy)]
struct Attempted {
    n: u32,
    last: Instant,
}

impl Attempted {
    /// What is left of it at a later time.
    fn at(self, now: Instant) -> Self {
        let n_earned = now.saturating_duration_since(self.last).as_secs() / ONE_IN.as_secs();
        if n_earned == 0 {
            return self;
        }
        Self { n: self.n.saturating_sub(u32::try_from(n_earned).unwrap_or(u32::MAX)), last: now }
    }
}

impl Attempts {
    /// Counts an attempt from an address. Returns whether it may be made.
    pub fn begin(&self, address: &str, now: Instant) -> bool {
        let mut by_address = self.by_address.lock();
        let key = network(address);
        if by_address.len() >= MAX_ADDRESSES && !by_address.contains_key(&key) {
            make_room(&mut by_address, now);
        }
        let attempted = by_address.entry(key).or_insert(Attempted { n: 0, last: now });
        *attempted = attempted.at(now);
        if attempted.n >= FREE {
            return false;
        }
        if attempted.n == 0 {
            attempted.last = now;
        }
        attempted.n += 1;
        true
    }

    /// The attempt was right.
    pub fn succeeded(&self, address: &str) {
        self.by_address.lock().remove(&network(address));
    }
}

fn make_room(by_address: &mut HashMap<String, Attempted>, now: Instant) {
    by_address.retain(|_, attempted| attempted.at(now).n > 0);
    if by_address.len() >= MAX_ADDRESSES {
        let oldest = by_address.iter().min_by_key(|(_, attempted)| attempted.last);
        if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
            by_address.remove(&oldest);
        }
    }
}

/// What one person has of addresses: of the newer kind, 2⁶⁴.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_free_at_first_and_rare_then() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for _ in 0..FREE {
            assert!(attempts.begin("1.2.3.4", now));
        }
        assert!(!attempts.begin("1.2.3.4", now));
        assert!(!attempts.begin("::ffff:1.2.3.4", now));
        assert!(attempts.begin("1.2.3.5", now));
        assert!(attempts.begin("1.2.3.4", now + ONE_IN));
        assert!(!attempts.begin("1.2.3.4", now + ONE_IN));
        attempts.succeeded("1.2.3.4");
        assert!(attempts.begin("1.2.3.4", now + ONE_IN));
    }

    #[test]
    fn a_network_of_the_newer_kind_is_one_and_the_memory_is_bounded() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for host in 0..FREE {
            assert!(attempts.begin(&format!("2001:db8::{host}"), now));
        }
        assert!(!attempts.begin("2001:db8::ffff", now));
        for network in 0..2 * MAX_ADDRESSES {
            attempts.begin(&format!("2001:db8:{network:x}::1"), now);
        }
        assert!(attempts.by_address.lock().len() <= MAX_ADDRESSES);
    }
}
