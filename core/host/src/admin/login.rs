//! Who may log in: whoever knows the password of a bcrypt hash, and does not try too often.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use ferrio::runtime;
use tokio::sync::Semaphore;

use crate::admin::attempts::Attempts;

/// A check takes a core for a tenth of a second, or what else the operator has chosen: only one is made at a time, and so
/// many wait.
const MAX_WAITING: usize = 16;

/// Longer passwords are nobody's. bcrypt looks at the first 72 bytes.
const MAX_BYTES: usize = 1024;

/// Lets those in who know a name and its password.
pub struct Login {
    known: Arc<Known>,
    attempts: Attempts,
    turn: Semaphore,
    n_waiting: AtomicUsize,
}

struct Known {
    username: String,
    hash: String,
}

/// What became of an attempt to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Name and password are right.
    Right,
    /// One of them is wrong.
    Wrong,
    /// There were too many attempts. It is not known whether this one was right.
    TooMany,
}

/// A text that is no bcrypt hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoHash;

impl Login {
    /// Takes a name, and the hash of its password as bcrypt writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(username: String, hash: String) -> Result<Self, NoHash> {
        hash.parse::<bcrypt::HashParts>().map_err(|_| NoHash)?;
        Ok(Self {
            known: Arc::new(Known { username, hash }),
            attempts: Attempts::default(),
            turn: Semaphore::new(1),
            n_waiting: AtomicUsize::new(0),
        })
    }

    /// Whether name and password are right. A thread that may block finds it out.
    pub async fn check(&self, username: String, password: String, address: &str) -> Verdict {
        if !self.attempts.begin(address, Instant::now()) {
            return Verdict::TooMany;
        }
        let Some(_place) = Place::take(&self.n_waiting) else { return Verdict::TooMany };
        let Ok(_turn) = self.turn.acquire().await else { return Verdict::TooMany };
        let known = self.known.clone();
        let checking = runtime().spawn_blocking(move || known.is(&username, &password));
        if checking.await.unwrap_or(false) {
            self.attempts.succeeded(address);
            return Verdict::Right;
        }
        Verdict::Wrong
    }
}

impl Known {
    fn is(&self, username: &str, password: &str) -> bool {
        // Checked for a wrong name, too: how long it takes tells nobody whether there is such a name.
        let is_right = password.len() <= MAX_BYTES && bcrypt::verify(password, &self.hash).unwrap_or(false);
        is_right && username == self.username
    }
}

/// A place among those who wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(n_waiting: &'a AtomicUsize) -> Option<Self> {
        let count = |n| (n < MAX_WAITING).then_some(n + 1);
        n_waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        Some(Self(n_waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for NoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no bcrypt hash")
    }
}

impl std::error::Error for NoHash {}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "changeit", with the lowest cost.
    const HASH: &str = "$2b$04$xFDA.aJoY8QG8T.R8BNCWebbXBNAHyV7IcvnWoBsjsGRVb5xzyZ/e";

    fn login() -> Login {
        Login::new("admin".to_owned(), HASH.to_owned()).expect("a hash")
    }

    async fn check(login: &Login, username: &str, password: &str, address: &str) -> Verdict {
        login.check(username.to_owned(), password.to_owned(), address).await
    }

    #[tokio::test]
    async fn name_and_password_must_be_right() {
        let login = login();
        assert_eq!(check(&login, "admin", "changeit", "1.1.1.1").await, Verdict::Right);
        for (username, password) in [
            ("admin", "changeIt"),
            ("root", "changeit"),
            ("admin", "with a\0nul"),
            ("admin", &"x".repeat(1 << 20)),
        ] {
            assert_eq!(check(&login, username, password, "1.1.1.1").await, Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn a_flood_from_one_address_is_refused_and_keeps_nobody_else_out() {
        let login = login();
        let mut verdicts = Vec::new();
        for _ in 0..100 {
            verdicts.push(check(&login, "admin", "guess", "1.1.1.1").await);
        }
        assert!(verdicts.iter().filter(|verdict| **verdict == Verdict::Wrong).count() <= 20);
        assert_eq!(verdicts.last(), Some(&Verdict::TooMany));
        assert_eq!(check(&login, "admin", "changeit", "1.1.1.1").await, Verdict::TooMany);
        assert_eq!(check(&login, "admin", "changeit", "2.2.2.2").await, Verdict::Right);
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for hash in
            ["", "changeit", "$2b$04$short", "$9$04$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            assert!(Login::new(String::new(), hash.to_owned()).is_err(), "{hash}");
        }
    }

    #[test]
    fn only_so_many_wait() {
        let n_waiting = AtomicUsize::new(0);
        let places: Vec<_> = (0..=MAX_WAITING).map(|_| Place::take(&n_waiting)).collect();
        assert_eq!(places.iter().flatten().count(), MAX_WAITING);
        drop(places);
        assert!(Place::take(&n_waiting).is_some());
    }
}
