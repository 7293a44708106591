//! The list of former incarnations, there and back.

use proptest::prelude::*;

use super::former::{Former, Formers, Since};
use crate::codec_tests::device;

proptest! {
    #[test]
    fn formers_there_and_back(
        all in prop::collection::vec((device(), any::<u64>(), any::<u64>(), device(), any::<Option<u64>>()), 0..4)
    ) {
        let mut formers = Formers::default();
        for (device, sent, last, now, first) in all {
            let since = first.filter(|first| *first > 0).map_or(Since::State, Since::Number);
            formers.push(Former { device, sent, last, now, since });
        }
        prop_assert_eq!(Formers::decode(&formers.encode()).unwrap(), formers);
    }

    #[test]
    fn any_bytes_are_a_list_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Formers::decode(&bytes);
    }
}
