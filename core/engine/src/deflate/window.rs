//! The end of what was said, as far as later messages may look back at it.

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    limit: usize,
}

impl Window {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How much it will keep when so many bytes are added.
    pub(super) fn len_with(&self, n_added: usize) -> usize {
        self.bytes.len().saturating_add(n_added).min(self.limit)
    }

    /// Adds what was said. It takes no more memory than it has bytes.
    pub(super) fn push(&mut self, said: &[u8]) {
        let said = &said[said.len().saturating_sub(self.limit)..];
        let len = self.len_with(said.len());
        let n_forgotten = self.bytes.len() + said.len() - len;
        self.bytes.drain(..n_forgotten);
        self.bytes.reserve_exact(said.len());
        self.bytes.extend_from_slice(said);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept() {
        let mut window = Window::new(5);
        for (said, kept) in
            [("ab", "ab"), ("c", "abc"), ("def", "bcdef"), ("", "bcdef"), ("0123456789", "56789")]
        {
            assert_eq!(window.len_with(said.len()), kept.len());
            window.push(said.as_bytes());
            assert_eq!(window.bytes(), kept.as_bytes());
        }
        window.clear();
        assert_eq!(window.bytes(), b"");
        let mut none = Window::new(0);
        none.push(b"abc");
        assert_eq!(none.bytes(), b"");
    }
}
