//! What the devices, and whoever looks at them afterwards, have to agree on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Runtime, TokioRuntime};
use storex_sync::http::{HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token};
use storex_sync::{EncryptedSharedLog, KeyRing, SharedSyncLog};

use storex_e2e::ops::Op;

/// By this the server knows the user of all devices.
pub(crate) const TOKEN: &str = "0123456789abcdef01234567";

/// The shelf with the last document of each device.
pub(crate) const ENDED: &str = "ended";

/// The file with the keys; where it is, the log is encrypted.
pub(crate) const KEYS: &str = "keys";

/// A stalled request is given up after this.
const DEADLINE: Duration = Duration::from_secs(5);

/// The name of a device's database.
pub(crate) fn database(name: &str) -> String {
    format!("{name}.db")
}

/// The name of what a device notes in its `life`-th process.
pub(crate) fn notes(name: &str, life: u64) -> String {
    format!("notes-{name}-{life}")
}

/// The first device sends each of its writes as it was, so that each can be looked for in the log.
pub(crate) fn is_unreduced(name: &str) -> bool {
    name == "a"
}

/// The shelf with the receipts of a device.
pub(crate) fn receipts(name: &str) -> String {
    format!("receipts-{name}")
}

/// An increment that can be counted.
pub(crate) fn receipt(name: &str, number: u64) -> Op {
    Op::Receipt { shelf: receipts(name), number: i64::try_from(number).unwrap_or(0) }
}

/// The first device opens the accounts of all.
pub(crate) fn beginning(name: &str) -> Vec<Op> {
    let common = if name == "a" { &["common", "receipts"][..] } else { &[] };
    let open = |name: &&str| Op::OpenAccount { name: (*name).to_owned(), balance: 0 };
    common.iter().map(open).collect()
}

/// The last write of a device.
pub(crate) fn end(name: &str) -> Op {
    let number = name.bytes().fold(0, |number, byte| number * 256 + i64::from(byte));
    Op::Put { shelf: ENDED.to_owned(), number, x: name.to_owned(), y: 0 }
}

/// The log of the user, encrypted if there are keys in the folder.
pub(crate) fn log(address: &str, folder: &Path) -> Arc<dyn SharedSyncLog> {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let transport = Arc::new(NativeTransport::new().unwrap());
    let client = HttpClient::new(transport, address, runtime.clone()).unwrap();
    let client = client.deadline(DEADLINE).credentials(Arc::new(StaticToken(Token::new(TOKEN))));
    let log: Arc<dyn SharedSyncLog> = Arc::new(HttpSharedLog::new(client));
    match std::fs::read(folder.join(KEYS)) {
        Ok(keys) => {
            let keys = KeyRing::from_bytes(&keys).unwrap();
            Arc::new(EncryptedSharedLog::new(log, keys, runtime))
        }
        Err(_) => log,
    }
}
