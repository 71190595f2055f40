//! Secrets at rest: XChaCha20-Poly1305 under the key of the data directory.
//!
//! Owns the sealed form (24 bytes of random nonce, then the ciphertext with its tag) and knows nothing of databases or
//! files. What a sealed value belongs to is bound in as associated data, so that one cannot be put in another's place.

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// A value could not be sealed or opened. It says no more on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged, or secret.key is not the key that it was sealed with")]
pub struct BadSeal;

/// The key of a data directory.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    hash: Hmac<Sha256>,
}

impl Sealer {
    /// Takes the key into use.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        // A key of its own for each use, both from the one in the file.
        let mut own = keyed(key);
        own.update(b"fingerprint");
        Self {
            cipher: XChaCha20Poly1305::new(key.into()),
            hash: keyed(&own.finalize().into_bytes().into()),
        }
    }

    /// A hash that says nothing about `data` to whoever does not have the key.
    pub fn fingerprint(&self, data: &[u8]) -> [u8; 32] {
        let mut hash = self.hash.clone();
        hash.update(data);
        hash.finalize().into_bytes().into()
    }

    /// Encrypts `plain`, bound to `belongs`.
    pub fn seal(&self, belongs: &str, plain: &[u8]) -> Result<Vec<u8>, BadSeal> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let aad = belongs.as_bytes();
        let body = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad });
        let mut sealed = nonce.to_vec();
        sealed.extend(body.map_err(|_| BadSeal)?);
        Ok(sealed)
    }

    /// Decrypts what [`Sealer::seal`] made with the same key and the same `belongs`.
    pub fn open(&self, belongs: &str, sealed: &[u8]) -> Result<Vec<u8>, BadSeal> {
        let (nonce, msg) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(BadSeal)?;
        let aad = belongs.as_bytes();
        self.cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg, aad })
            .map_err(|_| BadSeal)
    }
}

/// HMAC under a key that is shorter than its block: it is filled up with zeros.
fn keyed(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..KEY_BYTES].copy_from_slice(key);
    Hmac::new(&block.into())
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_whole_with_its_key_and_in_its_place() {
        let sealer = Sealer::new(&[7; KEY_BYTES]);
        let sealed = sealer.seal("job:a", b"hunter2").unwrap();
        assert_eq!(sealer.open("job:a", &sealed).unwrap(), b"hunter2");
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_ne!(
            sealer.seal("job:a", b"hunter2").unwrap(),
            sealed,
            "every nonce is its own"
        );
        assert_eq!(sealer.fingerprint(b"a"), sealer.fingerprint(b"a"));
        assert_ne!(sealer.fingerprint(b"a"), Sealer::new(&[8; KEY_BYTES]).fingerprint(b"a"));
        assert_eq!(sealer.open("job:b", &sealed), Err(BadSeal));
        assert_eq!(Sealer::new(&[8; KEY_BYTES]).open("job:a", &sealed), Err(BadSeal));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(sealer.open("job:a", &damaged), Err(BadSeal), "byte {at}");
            assert_eq!(sealer.open("job:a", &sealed[..at]), Err(BadSeal), "cut at {at}");
        }
    }
}
