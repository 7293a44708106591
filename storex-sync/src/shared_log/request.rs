//! [`LogRequest`]: what a device asks of a shared log at once.

use super::{Cursor, SealedTransaction};
use crate::stamp::Device;

/// What a device asks of a shared log at once ([`SharedSyncLog::exchange`](super::SharedSyncLog::exchange)). Each part may be left out.
///
/// ```
/// # use storex_sync::{Cursor, Device, LogId, MemorySharedLog};
/// use storex_sync::{LogRequest, SealedTransaction, SharedSyncLog};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let log = MemorySharedLog::new(LogId([7; 16]));
/// # let device = Device { id: [1; 16], incarnation: 0 };
/// let written = SealedTransaction { device, sequence: 1, payload: b"a transaction".to_vec() };
/// let request = LogRequest {
///     device,
///     acknowledge: None,
///     append: vec![written],
///     read: Some(Cursor::default()),
/// };
/// let page = log.exchange(&request, 1 << 20).await?.ok_or("a page was asked for")?;
/// assert_eq!((page.transactions.len(), page.own), (0, 1)); // one's own are left out
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Who asks.
    pub device: Device,
    /// Everything in front of this is durably applied; see [`SharedSyncLog::acknowledge`](super::SharedSyncLog::acknowledge).
    pub acknowledge: Option<Cursor>,
    /// Transactions of this device; see [`SharedSyncLog::append`](super::SharedSyncLog::append).
    pub append: Vec<SealedTransaction>,
    /// What follows this is read; see [`SharedSyncLog::read`](super::SharedSyncLog::read).
    pub read: Option<Cursor>,
}
