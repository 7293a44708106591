//! [`Access`]: who is to read.

use super::passphrase::{Passphrase, PassphraseCost};
use crate::device_key::PairedDevice;

/// Who is to come by a key: whoever knows a passphrase, and devices. Both may be left out: then the key is only handed over from device to
/// device ([`KeyRing::send`](crate::KeyRing), feature `pairing`).
///
/// ```
/// use storex_sync::{Access, DeviceKey, Passphrase};
/// # let phone = DeviceKey::from_bytes([1; 32]).public();
///
/// let both = Access::by(Passphrase::new("correct horse battery staple")).and_devices([phone]);
/// let only_the_phone = Access::of_devices([phone]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub(super) passphrase: Option<Passphrase>,
    pub(super) devices: Vec<PairedDevice>,
    pub(super) cost: PassphraseCost,
}

impl Access {
    /// Whoever knows the passphrase.
    #[must_use]
    pub fn by(passphrase: Passphrase) -> Self {
        Self { passphrase: Some(passphrase), ..Self::default() }
    }

    /// These devices.
    #[must_use]
    pub fn of_devices(devices: impl IntoIterator<Item = PairedDevice>) -> Self {
        Self::default().and_devices(devices)
    }

    /// These devices too: those that hold earlier keys follow by themselves, if they were told their
    /// [device key](crate::EncryptedSharedLog::device).
    #[must_use]
    pub fn and_devices(mut self, devices: impl IntoIterator<Item = PairedDevice>) -> Self {
        self.devices.extend(devices);
        self
    }

    /// With another cost of trying a passphrase than the default.
    #[must_use]
    pub fn cost(mut self, cost: PassphraseCost) -> Self {
        self.cost = cost;
        self
    }
}
