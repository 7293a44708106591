//! XChaCha20-Poly1305, HKDF and HMAC with SHA-256, by the crates of RustCrypto.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Result, SyncError};

pub(super) type Secret = Zeroizing<[u8; 32]>;

/// The key of an HMAC: a block of SHA-256.
pub(super) type MacKey = Zeroizing<[u8; 64]>;

pub(super) const NONCE: usize = 24;
pub(super) const TAG: usize = 16;

/// HKDF (RFC 5869). The info says what the key is for.
pub(super) fn derive<const N: usize>(
    secret: &[u8],
    salt: Option<&[u8]>,
    info: &[u8],
) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "HKDF gives no more") }
    let mut key = Zeroizing::new([0; N]);
    let expanded = Hkdf::<Sha256>::new(salt, secret).expand(info, &mut key[..]);
    debug_assert!(expanded.is_ok(), "see above");
    key
}

/// HMAC (RFC 2104).
pub(super) fn mac_of<const N: usize>(key: &MacKey, parts: [&[u8]; N]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new((&**key).into());
    parts.into_iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// As much of an HMAC as a nonce has.
pub(super) fn nonce_of(key: &MacKey, parts: [&[u8]; 2]) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce.iter_mut().zip(mac_of(key, parts)).for_each(|(to, from)| *to = from);
    nonce
}

/// Encrypts what stands in the buffer from a place on, and appends the tag.
pub(super) fn encrypt(
    key: &Secret,
    nonce: &[u8; NONCE],
    header: &[u8],
    buffer: &mut Vec<u8>,
    from: usize,
) -> Result<()> {
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let plain = InOutBuf::from(buffer.get_mut(from..).unwrap_or_default());
    let sealed = cipher.encrypt_inout_detached(nonce.into(), header, plain);
    let tag =
        sealed.map_err(|_| SyncError::corrupt("what is to be encrypted", "it is too long"))?;
    buffer.extend_from_slice(&tag);
    Ok(())
}

/// `None`: it was not encrypted with this key, or not under this header, or was changed.
pub(super) fn decrypt(
    key: &Secret,
    nonce: &[u8; NONCE],
    header: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (text, tag) = sealed.split_last_chunk::<TAG>()?;
    let mut plain = text.to_vec();
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let buffer = InOutBuf::from(&mut plain[..]);
    cipher.decrypt_inout_detached(nonce.into(), header, buffer, &Tag::from(*tag)).ok()?;
    Some(plain)
}
