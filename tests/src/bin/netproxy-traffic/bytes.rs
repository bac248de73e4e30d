//! The bytes of downloads and uploads: every chunk begins with its number, so that nothing can be
//! lost, doubled or swapped without the hash telling.

use std::{fmt::Write, sync::LazyLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};

const CHUNK: usize = 64 * 1024;

/// What chunks have behind their number: nothing that a middle-box could compress.
static FILLING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..CHUNK as u64 / 8)
        .flat_map(|word| mix(word).to_le_bytes())
        .collect()
});

/// The first `count` bytes, in chunks.
pub(crate) fn chunks(count: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
    let size = CHUNK as u64;
    (0..count.div_ceil(size)).map(move |number| {
        let mut chunk = FILLING.clone();
        chunk[..8].copy_from_slice(&number.to_le_bytes());
        chunk.truncate(usize::try_from(count - number * size).unwrap_or(CHUNK));
        chunk.into()
    })
}

/// The hash of the first `count` bytes.
pub(crate) fn hash_of(count: u64) -> String {
    let mut hash = Hash::default();
    chunks(count).for_each(|chunk| hash.update(&chunk));
    hash.finish()
}

/// A SHA-256 in the making.
#[derive(Default)]
pub(crate) struct Hash {
    sha256: Sha256,
    bytes: u64,
}

impl Hash {
    pub(crate) fn update(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        self.bytes += chunk.len() as u64;
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn finish(self) -> String {
        self.sha256
            .finalize()
            .iter()
            .fold(String::new(), |mut text, byte| {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// The finaliser of `SplitMix64`.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word ^ (word >> 27)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_add_up_and_differ() {
        let all: Vec<u8> = chunks(2 * 65536 + 5).flatten().collect();
        assert_eq!(all.len(), 2 * 65536 + 5);
        assert_ne!(all[..65536], all[65536..2 * 65536]);
    }

    #[test]
    fn hashes_are_sha256() {
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash_of(0), nothing);
        assert_ne!(hash_of(1), nothing);
    }
}
