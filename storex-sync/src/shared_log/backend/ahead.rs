//! How large rows are is read before they are: who fills a log decides that, and nothing is loaded that is not wanted.

/// How many rows are looked at at once.
pub(super) const AHEAD: usize = 64;

/// How many of the rows that follow are loaded into a page with so much room (`None`: it is full), which holds one at least. The size of a
/// row that was written by an older version is known when it is there, so it comes alone.
pub(super) fn fitting(
    sizes: impl IntoIterator<Item = Option<usize>>,
    mut room: Option<usize>,
    page_is_empty: bool,
) -> usize {
    let mut count = 0;
    for size in sizes {
        match (size, room) {
            (Some(size), Some(left)) if size <= left => room = Some(left - size),
            (Some(_), _) if page_is_empty && count == 0 => return 1,
            (None, Some(_)) if count == 0 => return 1,
            _ => return count,
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn as_many_as_fit_and_one_at_least() {
        let sizes = [3, 4, 0, 1].map(Some);
        assert_eq!(fitting(sizes, Some(7), true), 3);
        assert_eq!(fitting(sizes, Some(8), true), 4);
        assert_eq!(fitting(sizes, Some(2), true), 1);
        assert_eq!(fitting(sizes, Some(2), false), 0);
        assert_eq!(fitting(sizes, Some(0), true), 1);
        assert_eq!(fitting([0, 1].map(Some), Some(0), false), 1);
        assert_eq!(fitting([Some(0)], None, false), 0);
    }

    #[test]
    fn what_is_not_known_comes_alone() {
        assert_eq!(fitting([None, Some(1)], Some(9), true), 1);
        assert_eq!(fitting([Some(1), None], Some(9), true), 1);
        assert_eq!(fitting([None], None, false), 0);
    }
}
