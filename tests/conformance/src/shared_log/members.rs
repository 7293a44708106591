//! The members of a log, and their dismissal.

use storex_sync::{Cursor, Device, Member, SharedSyncLog};

use super::{LogHarness, catch_up, device, read_all, transactions};

async fn members(log: &dyn SharedSyncLog) -> Vec<Member> {
    log.members().await.unwrap()
}

fn member(n: u8, behind: u64) -> Member {
    Member { device: device(n), behind }
}

pub async fn who_registered_is_one(harness: LogHarness) {
    let log = harness.log().await;
    assert_eq!(members(&*log).await, []);
    log.register(device(2)).await.unwrap();
    log.register(device(1)).await.unwrap();
    log.register(device(2)).await.unwrap();
    assert_eq!(members(&*log).await, [member(1, 0), member(2, 0)]);
}

pub async fn how_far_each_is_behind(harness: LogHarness) {
    let log = harness.log().await;
    for n in 1..=3 {
        log.register(device(n)).await.unwrap();
    }
    log.append(&transactions(device(1), 1..=5)).await.unwrap();
    catch_up(&*log, device(2)).await;
    log.append(&transactions(device(2), 1..=2)).await.unwrap();
    assert_eq!(
        members(&*log).await,
        [member(1, 2), member(2, 0), member(3, 7)],
        "one's own are not counted"
    );
}

pub async fn an_older_acknowledgement_changes_nothing(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(2)).await.unwrap();
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    let (_, older) = read_all(&*log, device(2), Cursor::default(), 1 << 20).await;
    log.append(&transactions(device(1), 3..=5)).await.unwrap();
    catch_up(&*log, device(2)).await;
    log.acknowledge(device(2), &older).await.unwrap();
    log.acknowledge(device(2), &Cursor::default()).await.unwrap();
    assert_eq!(members(&*log).await, [member(2, 0)]);
}

pub async fn who_only_reads_and_writes_is_none(harness: LogHarness) {
    let log = harness.log().await;
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    read_all(&*log, device(2), Cursor::default(), 1 << 20).await;
    assert_eq!(members(&*log).await, []);
}

pub async fn a_dismissed_device_is_none(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(1)).await.unwrap();
    log.register(device(2)).await.unwrap();
    log.append(&transactions(device(2), 1..=2)).await.unwrap();
    assert!(log.dismiss(device(2)).await.unwrap());
    assert_eq!(members(&*log).await, [member(1, 2)]);
    assert!(!log.dismiss(device(2)).await.unwrap(), "it is none any more");
    let (read, _) = read_all(&*log, device(1), Cursor::default(), 1 << 20).await;
    assert_eq!(read, transactions(device(2), 1..=2), "what it wrote stays");
}

pub async fn a_dismissed_device_comes_back_by_registering(harness: LogHarness) {
    let log = harness.log().await;
    let id = log.register(device(1)).await.unwrap();
    log.append(&transactions(device(1), 1..=2)).await.unwrap();
    log.dismiss(device(1)).await.unwrap();
    assert_eq!(log.register(device(1)).await.unwrap(), id);
    assert_eq!(members(&*log).await, [member(1, 0)]);
    log.append(&transactions(device(1), 3..=3)).await.unwrap();
}

pub async fn a_dismissed_device_comes_back_by_acknowledging(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(1)).await.unwrap();
    log.append(&transactions(device(2), 1..=2)).await.unwrap();
    log.dismiss(device(1)).await.unwrap();
    catch_up(&*log, device(1)).await;
    assert_eq!(members(&*log).await, [member(1, 0)]);
}

pub async fn that_a_stranger_is_none_is_told(harness: LogHarness) {
    let log = harness.log().await;
    assert!(!log.dismiss(device(2)).await.unwrap(), "nobody was ever there");
    log.register(device(1)).await.unwrap();
    log.append(&transactions(device(2), 1..=1)).await.unwrap();
    for _ in 0..2 {
        assert!(!log.dismiss(device(2)).await.unwrap(), "it has written, and is no member");
    }
    let other = Device { incarnation: 1, ..device(1) };
    assert!(!log.dismiss(other).await.unwrap(), "another incarnation is another device");
    assert_eq!(members(&*log).await, [member(1, 1)]);
}
