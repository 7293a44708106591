//! The numbers of the classes of errors, where they travel.

use storex_core::ErrorKind;

/// In the order of their codes; what is not here is told as the last.
const KINDS: [ErrorKind; 11] = [
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Invalid,
    ErrorKind::Unsupported,
    ErrorKind::Busy,
    ErrorKind::Closed,
    ErrorKind::Corrupt,
    ErrorKind::ReadOnly,
    ErrorKind::Full,
    ErrorKind::Io,
    ErrorKind::Other,
];

pub(crate) fn kind_code(kind: ErrorKind) -> u64 {
    KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1) as u64
}

pub(crate) fn kind_of_code(code: u64) -> ErrorKind {
    let known = usize::try_from(code).ok().and_then(|code| KINDS.get(code));
    known.copied().unwrap_or(ErrorKind::Other)
}
