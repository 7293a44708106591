//! What Noise is made of: X25519, ChaCha20-Poly1305 and SHA-256, each by the crate that the rest of the workspace has or the key
//! exchange brings along, and the randomness of the runtime.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag};
use curve25519_dalek::MontgomeryPoint;
use sha2::{Digest, Sha256};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

/// Gives the parts of one handshake.
pub(super) struct Primitives {
    /// The one key that a handshake draws. Drawn before, as a [`Runtime`](storex_core::Runtime) of a browser cannot be handed to `snow`.
    pub(super) ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::<X25519>::default() as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::<Sha>::default() as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly)
            .then(|| Box::<ChaChaPoly>::default() as Box<dyn Cipher>)
    }
}

/// Gives its bytes once: no two keys are of the same randomness.
struct Drawn(Option<Zeroizing<[u8; 32]>>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let drawn = self.0.take().ok_or(Error::Rng)?;
        if bytes.len() != drawn.len() {
            return Err(Error::Rng);
        }
        bytes.copy_from_slice(&drawn[..]);
        Ok(())
    }
}

#[derive(Default)]
struct X25519 {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl X25519 {
    fn hold(&mut self, private: Zeroizing<[u8; 32]>) {
        self.public = MontgomeryPoint::mul_base_clamped(*private).to_bytes();
        self.private = private;
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        // `DeviceKey` has no other length.
        if let Ok(private) = private.try_into() {
            self.hold(Zeroizing::new(private));
        }
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; 32]);
        random.try_fill_bytes(&mut private[..])?;
        self.hold(private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private[..]
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public = public.first_chunk::<32>().ok_or(Error::Dh)?;
        let shared = MontgomeryPoint(*public).mul_clamped(*self.private).to_bytes();
        // A point of small order, which gives the same with every key (RFC 7748, section 6.1).
        if shared == [0; 32] {
            return Err(Error::Dh);
        }
        out.first_chunk_mut::<32>().ok_or(Error::Dh)?.copy_from_slice(&shared);
        Ok(())
    }
}

#[derive(Default)]
struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::default();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = std::mem::take(&mut self.0).finalize();
        out.iter_mut().zip(hash).for_each(|(out, byte)| *out = byte);
    }
}

/// `None` before it has a key, when nothing is asked of it.
#[derive(Default)]
struct ChaChaPoly(Option<ChaCha20Poly1305>);

const TAG: usize = 16;

impl ChaChaPoly {
    fn seal(&self, nonce: u64, authtext: &[u8], plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let (text, after) = out.split_at_mut_checked(plain.len())?;
        let tag = after.first_chunk_mut::<TAG>()?;
        let buffer = InOutBuf::new(plain, text).ok()?;
        let cipher = self.0.as_ref()?;
        let sealed = cipher.encrypt_inout_detached(&nonce_of(nonce).into(), authtext, buffer);
        tag.copy_from_slice(&sealed.ok()?);
        Some(plain.len() + TAG)
    }
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(ChaCha20Poly1305::new(&(*key).into()));
    }

    /// Writes nothing, and says so, where there is no key or no place.
    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        self.seal(nonce, authtext, plaintext, out).unwrap_or(0)
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG>().ok_or(Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(Error::Decrypt)?;
        let buffer = InOutBuf::new(text, out).map_err(|_| Error::Decrypt)?;
        let cipher = self.0.as_ref().ok_or(Error::Decrypt)?;
        cipher
            .decrypt_inout_detached(&nonce_of(nonce).into(), authtext, buffer, &Tag::from(*tag))
            .map_err(|_| Error::Decrypt)?;
        Ok(text.len())
    }
}

/// Four zero bytes and the number, little-endian (the Noise specification, section 12.3).
fn nonce_of(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.iter_mut().skip(4).zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
    nonce
}
