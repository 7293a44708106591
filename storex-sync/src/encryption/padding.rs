//! Padding: what is encrypted has one of few lengths.
//!
//! Lengths are those of Padmé (Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: "Reducing Metadata Leakage from Encrypted Files and
//! Communication with PURBs", PoPETs 2019): the longer, the coarser, and never more than 12 % above. What is shorter than [`LEAST`] has
//! that length, so that the transactions that write a row or two look the same. The padding itself is one byte 80 and zeros (ISO/IEC 7816-4).

/// The least length.
pub(super) const LEAST: usize = 256;

const END: u8 = 0x80;

/// How long contents of so many bytes are with their padding.
pub(super) fn padded_len(contents: usize) -> usize {
    let length = contents.saturating_add(1).max(LEAST);
    let exponent = length.ilog2();
    let free = exponent - (exponent.ilog2() + 1);
    let mask = (1 << free) - 1;
    length.saturating_add(mask) & !mask
}

/// Appends contents with their padding.
pub(super) fn append_padded(out: &mut Vec<u8>, contents: &[u8]) {
    let end = out.len() + padded_len(contents.len());
    out.extend_from_slice(contents);
    out.push(END);
    out.resize(end, 0);
}

/// Takes the padding away; `None`: it has none.
pub(super) fn without_padding(mut padded: Vec<u8>) -> Option<Vec<u8>> {
    let last = padded.iter().rposition(|byte| *byte != 0)?;
    (padded.get(last) == Some(&END)).then(|| {
        padded.truncate(last);
        padded
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_few() {
        assert_eq!((padded_len(0), padded_len(255), padded_len(256)), (256, 256, 272));
        let lengths: std::collections::BTreeSet<_> = (0..1 << 20).map(padded_len).collect();
        assert!(lengths.len() < 400, "{}", lengths.len());
    }

    proptest! {
        #[test]
        fn what_is_padded_comes_back(contents in prop::collection::vec(any::<u8>(), 0..2_000), zeros in 0..600_usize) {
            let contents = [contents, vec![0; zeros]].concat();
            let mut padded = Vec::new();
            append_padded(&mut padded, &contents);
            prop_assert_eq!(padded.len(), padded_len(contents.len()));
            prop_assert_eq!(without_padding(padded), Some(contents));
        }

        #[test]
        fn it_is_never_much(contents in LEAST..1 << 30) {
            let padded = padded_len(contents);
            prop_assert!(padded > contents && padded - contents <= contents / 8 + 1, "{}", padded);
        }

        #[test]
        fn rubbish_has_none_or_some(bytes in prop::collection::vec(0..2_u8, 0..50)) {
            prop_assert_eq!(without_padding(bytes), None);
        }
    }
}
