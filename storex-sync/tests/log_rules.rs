//! The rules of numbered logs, as somebody uses them who writes a log of their own.

use proptest::prelude::*;
use storex_sync::log_rules::{author, check_floor, fresh, known_to_all, repeated};
use storex_sync::{Cursor, Device, SealedTransaction, SyncError};

const A: Device = Device { id: [1; 16], incarnation: 0 };
const B: Device = Device { id: [2; 16], incarnation: 0 };
const C: Device = Device { id: [3; 16], incarnation: 0 };

fn written(sequence: u64) -> SealedTransaction {
    SealedTransaction { device: A, sequence, payload: sequence.to_be_bytes().to_vec() }
}

#[test]
fn a_cursor_is_a_position_or_is_refused() {
    assert_eq!(Cursor::default().position().unwrap(), 0);
    assert_eq!(Cursor::at(u64::MAX).position().unwrap(), u64::MAX);
    for strange in [vec![1], vec![0; 7], vec![0; 9]] {
        assert!(matches!(Cursor(strange).position(), Err(SyncError::Corrupt { .. })));
    }
}

#[test]
fn an_append_is_of_one_device() {
    assert_eq!(author(&[]).unwrap(), None);
    assert_eq!(author(&[written(1), written(2)]).unwrap(), Some(A));
    let of_two = [written(1), SealedTransaction { device: B, ..written(2) }];
    assert!(matches!(author(&of_two), Err(SyncError::Protocol { .. })));
}

#[test]
fn what_comes_again_follows_one_another_and_what_the_log_has_had() {
    let sent = [written(3), written(4), written(5)];
    for (last, count) in [(0, 0), (2, 0), (3, 1), (4, 2), (5, 3), (u64::MAX, 3)] {
        assert_eq!(repeated(&sent, last).len(), count, "{last}");
    }
    // Whatever number stands behind a hole, only what is in front of it is looked up.
    assert_eq!(repeated(&[written(1), written(1 << 62)], 1 << 62), [written(1)]);
    assert_eq!(repeated(&[], 3), []);
}

#[test]
fn what_a_device_wrote_is_known_to_itself() {
    assert_eq!(known_to_all(&[], A), 0);
    assert_eq!(known_to_all(&[(A, 3)], A), u64::MAX);
    assert_eq!(known_to_all(&[(A, 3)], B), 3);
    assert_eq!(known_to_all(&[(A, 3), (B, 7), (C, 5)], A), 5);
    assert_eq!(known_to_all(&[(A, 3), (B, 7), (C, 5)], C), 3);
}

#[test]
fn a_reader_lacks_what_was_trimmed_of_others() {
    assert!(check_floor([(A, 9)], A, 0).is_ok());
    assert!(check_floor([(B, 9), (C, 2)], A, 9).is_ok());
    let missed = check_floor([(B, 9), (C, 2)], A, 8);
    assert!(matches!(missed, Err(SyncError::BelowFloor { reader: A })));
}

proptest! {
    /// A log that has trimmed any of what it has had, but the last: whatever stretch of its history a device sends, what is new
    /// of it is what follows the log's last; and nothing else is ever taken.
    #[test]
    fn of_a_stretch_that_ends_behind_the_log_the_rest_is_new(
        last in 1_u64..12,
        first in 1_u64..14,
        count in 1_u64..14,
        trimmed in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let history: Vec<_> = (1..=last).map(written).collect();
        let held = |sequence: u64| {
            let at = usize::try_from(sequence - 1).unwrap();
            (sequence == last || !trimmed[at]).then(|| history[at].payload.as_slice())
        };
        let sent: Vec<_> = (first..first + count).map(written).collect();
        let end = first + count - 1;
        match fresh(&sent, last, held) {
            Ok(new) => {
                prop_assert!(first <= last + 1);
                let expected: Vec<_> = sent.iter().filter(|it| it.sequence > last).cloned().collect();
                prop_assert_eq!(new, expected);
            }
            Err(SyncError::Gap { expected, found, .. }) => {
                prop_assert!(first > last + 1);
                prop_assert_eq!((expected, found), (last + 1, first));
            }
            Err(SyncError::Forked { .. }) => {
                let at = usize::try_from(end - 1).unwrap();
                prop_assert!(end < last && trimmed[at]);
            },
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    /// Another transaction under a number that the log still holds is never passed over.
    #[test]
    fn another_transaction_under_a_number_is_a_fork(last in 1_u64..12, at in 1_u64..12) {
        let at = at.min(last);
        let history: Vec<_> = (1..=last).map(written).collect();
        let held = |sequence: u64| {
            history.iter().find(|it| it.sequence == sequence).map(|it| it.payload.as_slice())
        };
        let mut sent: Vec<_> = (1..=last + 1).map(written).collect();
        sent[usize::try_from(at - 1).unwrap()].payload = b"another".to_vec();
        let forked = matches!(
            fresh(&sent, last, held),
            Err(SyncError::Forked { device: A, sequence }) if sequence == at
        );
        prop_assert!(forked);
    }
}
