//! Ids that nobody can guess.

/// An id of `n_bytes` random bytes, in the alphabet of URL-safe base64.
///
/// # Panics
/// When the operating system has no random bytes to give.
///
/// The bytes are the operating system's own. A generator in the process is a copy of its parent's after a fork, so
/// that all workers of a host would give out the same ids, and the clients of one would know the secrets of the others'.
/// A call of the system for each id costs a small part of a microsecond, a connection some tens of them.
pub fn random_id(n_bytes: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = vec![0; (n_bytes * 8).div_ceil(6)];
    getrandom::fill(&mut random).expect("the operating system has a generator of random bytes");
    random.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_alphabet_of_urls_and_do_not_repeat() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| random_id(15)).collect();
        assert_eq!(ids.len(), 1000);
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert!(ids.iter().all(|id| id.len() == 20 && id.bytes().all(is_safe)));
    }
}
