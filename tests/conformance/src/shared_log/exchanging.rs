//! Several things in one request.

use storex_core::ErrorKind;
use storex_sync::{Cursor, LogRequest, Page, SharedSyncLog, SyncError};

use super::{
    LogHarness, append_each, catch_up, device, give_up_after, read_all, transaction, transactions,
};

const ALL: usize = 1 << 20;

/// Of device 2, which has two pending.
fn whole(acknowledge: Cursor, read: Cursor) -> LogRequest {
    let append = transactions(device(2), 1..=2);
    LogRequest { device: device(2), acknowledge: Some(acknowledge), append, read: Some(read) }
}

async fn page(log: &dyn SharedSyncLog, request: &LogRequest) -> Page {
    log.exchange(request, ALL).await.expect("an exchange").expect("a page")
}

async fn behind(log: &dyn SharedSyncLog, n: u8) -> Option<u64> {
    let members = log.members().await.unwrap();
    members.iter().find(|member| member.device == device(n)).map(|member| member.behind)
}

/// What others have of device 2.
async fn of_the_second(log: &dyn SharedSyncLog) -> usize {
    let (all, _) = read_all(log, device(9), Cursor::default(), ALL).await;
    all.iter().filter(|transaction| transaction.device == device(2)).count()
}

pub async fn everything_at_once(harness: LogHarness) {
    let log = harness.log().await;
    let id = log.register(device(2)).await.unwrap();
    append_each(&*log, device(1), 1..=3).await;
    let (_, known) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    append_each(&*log, device(1), 4..=5).await;
    let page = page(&*log, &whole(known.clone(), known)).await;
    assert_eq!(page.transactions, transactions(device(1), 4..=5));
    assert_eq!((page.log, page.more, page.own), (id, false, 2), "what it has appended counts");
    assert_eq!(behind(&*log, 2).await, Some(2), "as far as it has acknowledged");
    assert_eq!(of_the_second(&*log).await, 2);
    let after = LogRequest { device: device(2), read: Some(page.cursor), ..LogRequest::default() };
    let rest = log.exchange(&after, ALL).await.unwrap().unwrap();
    assert_eq!(rest.transactions, [], "nothing is left out");
}

pub async fn only_what_is_asked_for_is_done(harness: LogHarness) {
    let log = harness.log().await;
    append_each(&*log, device(1), 1..=2).await;
    let nothing = LogRequest { device: device(2), ..LogRequest::default() };
    assert_eq!(log.exchange(&nothing, ALL).await.unwrap(), None);
    let append = transactions(device(2), 1..=2);
    let appends = LogRequest { append, ..nothing.clone() };
    assert_eq!(log.exchange(&appends, ALL).await.unwrap(), None);
    assert_eq!(of_the_second(&*log).await, 2);
    let reads = LogRequest { read: Some(Cursor::default()), ..nothing.clone() };
    let page = page(&*log, &reads).await;
    assert_eq!(page.transactions, transactions(device(1), 1..=2));
    assert_eq!(log.members().await.unwrap(), [], "nobody has acknowledged");
    let tells = LogRequest { acknowledge: Some(page.cursor), ..nothing };
    assert_eq!(log.exchange(&tells, ALL).await.unwrap(), None);
    assert_eq!(behind(&*log, 2).await, Some(0));
}

pub async fn its_page_has_the_limit(harness: LogHarness) {
    let log = harness.log().await;
    append_each(&*log, device(1), 1..=3).await;
    let size = harness.weight(&transaction(device(1), 1));
    let request = whole(Cursor::default(), Cursor::default());
    let page = log.exchange(&request, size * 2).await.unwrap().unwrap();
    assert_eq!((page.transactions, page.more), (transactions(device(1), 1..=2), true));
}

pub async fn where_appending_is_refused_nothing_is_read(harness: LogHarness) {
    let log = harness.log().await;
    append_each(&*log, device(1), 1..=3).await;
    let (_, known) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    log.append(&transactions(device(2), 1..=1)).await.unwrap();
    let mut gap = whole(known.clone(), known.clone());
    gap.append = transactions(device(2), 3..=4);
    let error = log.exchange(&gap, ALL).await.unwrap_err();
    assert!(matches!(error, SyncError::Gap { expected: 2, found: 3, .. }), "{error}");
    let mut forged = whole(known.clone(), known);
    forged.append[0].payload = b"something else".to_vec();
    let error = log.exchange(&forged, ALL).await.unwrap_err();
    assert!(matches!(error, SyncError::Forked { sequence: 1, .. }), "{error}");
    assert_eq!(of_the_second(&*log).await, 1, "nothing of either");
    assert_eq!(behind(&*log, 2).await, Some(0), "the acknowledgement is in front of it");
}

pub async fn where_reading_is_refused_it_has_appended(harness: LogHarness) {
    let log = harness.log().await;
    log.register(device(1)).await.unwrap();
    append_each(&*log, device(1), 1..=5).await;
    log.register(device(3)).await.unwrap();
    let place = catch_up(&*log, device(3)).await;
    assert!(log.trim().await.unwrap().transactions > 0);
    let mut late = whole(Cursor::default(), Cursor::default());
    late.acknowledge = None;
    let error = log.exchange(&late, ALL).await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { reader } if reader == device(2)), "{error}");
    let (read, _) = read_all(&*log, device(3), place, ALL).await;
    assert_eq!(read, transactions(device(2), 1..=2));
}

pub async fn twice_is_once(harness: LogHarness) {
    let log = harness.log().await;
    append_each(&*log, device(1), 1..=3).await;
    let request = whole(Cursor::default(), Cursor::default());
    let first = page(&*log, &request).await;
    assert_eq!(page(&*log, &request).await.transactions, first.transactions);
    assert_eq!(of_the_second(&*log).await, 2);
}

pub async fn one_that_was_given_up_may_be_repeated(harness: LogHarness) {
    let log = harness.log().await;
    append_each(&*log, device(1), 1..=3).await;
    let (_, known) = read_all(&*log, device(2), Cursor::default(), ALL).await;
    for sequence in 1..=12 {
        let mut request = whole(known.clone(), Cursor::default());
        request.append = transactions(device(2), sequence..=sequence);
        let polls = usize::try_from(sequence).unwrap() - 1;
        give_up_after(polls, async { drop(log.exchange(&request, ALL).await.unwrap()) }).await;
        let page = page(&*log, &request).await;
        assert_eq!(page.transactions, transactions(device(1), 1..=3));
        assert_eq!(page.own, sequence);
    }
    assert_eq!(of_the_second(&*log).await, 12, "each one once");
}

pub async fn a_place_of_another_kind_is_refused(harness: LogHarness) {
    let log = harness.log().await;
    append_each(&*log, device(1), 1..=3).await;
    let foreign = || Cursor(b"not a place of this log".to_vec());
    let error = log.exchange(&whole(foreign(), Cursor::default()), ALL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(of_the_second(&*log).await, 0, "nothing is done behind it");
    let error = log.exchange(&whole(Cursor::default(), foreign()), ALL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(of_the_second(&*log).await, 2, "what is in front of it is done");
}
