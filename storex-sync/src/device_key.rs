//! [`DeviceKey`] and [`PairedDevice`]: how two devices that were paired once know each other again.

use std::fmt;

use curve25519_dalek::MontgomeryPoint;
use storex_core::Runtime;
use zeroize::Zeroizing;

use crate::hex::Hex;

/// The secret by which this device is known to those that it was paired with.
///
/// The application keeps it ([`to_bytes`](Self::to_bytes)), best where the system keeps secrets; it belongs to the device and goes
/// into no backup that another device is made from. A device that is not to be known again takes a new one each time. `Debug` does
/// not show it, and dropping it overwrites it.
///
/// ```
/// # use storex_memory::TestRuntime;
/// use storex_sync::DeviceKey;
///
/// let key = DeviceKey::generate(&TestRuntime::new(1));
/// let again = DeviceKey::from_bytes(*key.to_bytes());
/// assert_eq!(again.public(), key.public());
/// ```
#[derive(Clone)]
pub struct DeviceKey(Zeroizing<[u8; 32]>);

impl DeviceKey {
    /// A new key, of the runtime's randomness.
    #[must_use]
    pub fn generate(runtime: &dyn Runtime) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        runtime.fill_random(&mut secret[..]);
        Self(secret)
    }

    /// The key that was kept.
    #[must_use]
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret, to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// What others know this device by.
    #[must_use]
    pub fn public(&self) -> PairedDevice {
        PairedDevice(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey")
    }
}

/// The public key of a device that this one was paired with: no secret, but who puts one into the list of an application is
/// let in. The application keeps it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairedDevice([u8; 32]);

impl PairedDevice {
    /// The device that was kept.
    #[must_use]
    pub fn from_bytes(public: [u8; 32]) -> Self {
        Self(public)
    }

    /// The public key (X25519), to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Hexadecimal digits.
impl fmt::Display for PairedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for PairedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairedDevice({self})")
    }
}
