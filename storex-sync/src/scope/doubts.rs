//! [`Doubts`]: what others had heard, and this device has not, when it passed something over.

use storex_core::Record;

use crate::error::Result;
use crate::meta::{Devices, meta_row};
use crate::pack::{Packer, Unpacker};
use crate::stamp::{Device, Hlc, Stamp};

/// The row's name; it is there while something of this may still come.
pub(crate) const DOUBTS: &str = "doubts";

const WHAT: &str = "what was passed over in doubt";

/// Readings of devices up to which somebody had heard them whose update was passed over here, although this device had not heard as
/// much. What they have written up to there may create the object. Mostly it does not, and mostly nothing of it is still to come. If
/// something does that creates objects, the log is read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Doubts(Vec<(Device, Hlc)>);

impl Doubts {
    /// Those among rows of `_storex_meta`.
    pub(crate) fn among(meta: &[Record]) -> Result<Self> {
        let Some(bytes) = meta_row(meta, DOUBTS) else { return Ok(Self::default()) };
        let mut unpacker = Unpacker::new(bytes, WHAT);
        let mut doubts = Self::default();
        for _ in 0..unpacker.array()? {
            unpacker.tuple(2)?;
            doubts.add(unpacker.device()?, unpacker.hlc()?.checked(WHAT)?);
        }
        unpacker.end()?;
        Ok(doubts)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(self.0.len());
        for (device, hlc) in &self.0 {
            packer.array(2);
            packer.device(*device);
            packer.uint(hlc.0);
        }
        packer.out
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, device: Device, hlc: Hlc) {
        match self.0.iter_mut().find(|(it, _)| *it == device) {
            Some((_, known)) => *known = hlc.max(*known),
            None => self.0.push((device, hlc)),
        }
    }

    /// Anybody's: something is parked here that cannot be read, or too much to look at it.
    pub(crate) fn add_anybody(&mut self) {
        self.add(Device::NOBODY, Hlc(1));
    }

    pub(crate) fn forget_anybody(&mut self) {
        self.0.retain(|(device, _)| *device != Device::NOBODY);
    }

    /// Whether what a device wrote at this reading is part of it.
    pub(crate) fn cover(&self, stamp: Stamp) -> bool {
        self.0.iter().any(|(device, hlc)| *device == stamp.device && stamp.hlc <= *hlc)
    }

    /// Forgets what has been heard by now.
    pub(crate) fn forget_heard(&mut self, devices: &Devices) {
        self.0.retain(|(device, hlc)| !has_heard(devices, *device, *hlc));
    }
}

/// Whether this device has heard all that a device has written up to a reading. Of a former incarnation it has, once it has heard the
/// later one: what is there of the former is in front of it, and its last reading is mostly one that nobody has logged.
pub(crate) fn has_heard(devices: &Devices, device: Device, hlc: Hlc) -> bool {
    let is_later = |it: Device| it.id == device.id && it.incarnation > device.incarnation;
    devices.has_applied(Stamp { hlc, device })
        || devices.iter().any(|known| is_later(known.device) && known.sequence > 0)
}
