//! Decisions read from bytes, so that a fuzzer that changes a byte changes a decision.
//!
//! The same bytes always decide the same; bytes that have run out decide for the first of everything.

/// Bytes that decide.
#[derive(Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Reads decisions from `data`.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// True if nothing is left to decide by.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `end`, which is from 1 to 256.
    pub fn below(&mut self, end: usize) -> usize {
        let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(first) % end
    }

    /// One of `all`.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// The next bytes, up to `most` of them, which is below 256.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = self.below(most + 1).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// The next bytes as text.
    pub fn text(&mut self, most: usize) -> String {
        String::from_utf8_lossy(self.bytes(most)).into_owned()
    }

    /// Places at which to cut something of `length` bytes: in order, with its beginning and its end.
    pub fn cuts(&mut self, length: usize) -> Vec<usize> {
        let mut cuts = vec![0, length];
        for _ in 0..self.below(16) {
            cuts.push((self.below(256) * 256 + self.below(256)) % (length + 1));
        }
        cuts.sort_unstable();
        cuts
    }
}
