//! Names of devices and other bytes, as JSON and URLs have them: hexadecimal digits in lower case.

use crate::error::{Result, SyncError};
use crate::hex::Hex;
use crate::stamp::Device;

/// A device as JSON and URLs name it: 32 hexadecimal digits of its id, `-`, its incarnation.
///
/// ```
/// use storex_sync::Device;
/// use storex_sync::http::{device_of_text, device_text};
///
/// let device = Device { id: [0xab; 16], incarnation: 2 };
/// let text = device_text(device);
/// assert_eq!(text, "abababababababababababababababab-2");
/// assert_eq!(device_of_text(&text)?, device);
/// # Ok::<(), storex_sync::SyncError>(())
/// ```
#[must_use]
pub fn device_text(device: Device) -> String {
    format!("{}-{}", id_text(device.id), device.incarnation)
}

/// The device of a [`device_text`]; there is one text of each.
///
/// # Errors
/// [`SyncError::Corrupt`] for any other text.
pub fn device_of_text(text: &str) -> Result<Device> {
    let wrong = || SyncError::corrupt("the name of a device", "it is not of the form `<id>-<n>`");
    let (id, incarnation) = text.split_once('-').ok_or_else(wrong)?;
    let device =
        Device { id: id_of_text(id)?, incarnation: incarnation.parse().map_err(|_| wrong())? };
    // "+2" and "02" are numbers too.
    if device.incarnation.to_string() != incarnation {
        return Err(wrong());
    }
    Ok(device)
}

/// An id as JSON and URLs have it: 32 hexadecimal digits.
#[must_use]
pub fn id_text(id: [u8; 16]) -> String {
    hex(&id)
}

/// The id of an [`id_text`].
///
/// # Errors
/// [`SyncError::Corrupt`] for any other text.
pub fn id_of_text(text: &str) -> Result<[u8; 16]> {
    let wrong = |_| SyncError::corrupt("an id", "it is not 32 hexadecimal digits");
    unhex(text)?.try_into().map_err(wrong)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Hex(bytes).to_string()
}

pub(crate) fn unhex(text: &str) -> Result<Vec<u8>> {
    let wrong = || SyncError::corrupt("a text of bytes", "it is not of hexadecimal digits");
    crate::hex::unhex(text).ok_or_else(wrong)
}

/// For `#[serde(with)]`: a type as its text.
macro_rules! as_text {
    ($module:ident, $type:ty, $write:expr, $read:expr) => {
        pub(crate) mod $module {
            use serde::de::{Deserialize, Deserializer, Error};
            use serde::ser::Serializer;

            #[allow(clippy::wildcard_imports)]
            use super::*;

            pub(crate) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$write(value))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                $read(&text).map_err(D::Error::custom)
            }
        }
    };
}

as_text!(as_device, Device, |device: &Device| device_text(*device), device_of_text);
as_text!(as_id, [u8; 16], |id: &[u8; 16]| id_text(*id), id_of_text);
as_text!(
    as_log_id,
    crate::shared_log::LogId,
    |log: &crate::shared_log::LogId| id_text(log.0),
    |text: &str| id_of_text(text).map(crate::shared_log::LogId)
);
as_text!(
    as_cursor,
    crate::shared_log::Cursor,
    |cursor: &crate::shared_log::Cursor| hex(&cursor.0),
    |text: &str| unhex(text).map(crate::shared_log::Cursor)
);
// A program that is written in JavaScript has no integers of 64 bits.
as_text!(as_decimal, u64, |number: &u64| number.to_string(), decimal_of_text);

/// There is one text of each number: neither "+1" nor "01".
fn decimal_of_text(text: &str) -> Result<u64> {
    let number: Option<u64> = text.parse().ok().filter(|number: &u64| number.to_string() == text);
    number.ok_or_else(|| SyncError::corrupt("a number", "it is not of decimal digits"))
}

/// For `#[serde(with)]`: a device that may be left out.
pub(crate) mod as_device_if_any {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::Serializer;

    use super::{Device, as_device};

    #[allow(clippy::ref_option)] // what serde calls it with
    pub(crate) fn serialize<S: Serializer>(
        device: &Option<Device>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match device {
            Some(device) => as_device::serialize(device, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Device>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Named(#[serde(with = "as_device")] Device);
        Ok(Option::<Named>::deserialize(deserializer)?.map(|Named(device)| device))
    }
}
