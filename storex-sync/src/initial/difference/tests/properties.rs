//! What comes of a comparison of any two sets.

use proptest::prelude::*;

use super::*;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A set, and a few numbers that the other side lacks, has otherwise, or has beside them.
#[derive(Debug, Clone)]
struct Case {
    parts: usize,
    common: u64,
    lacks: Vec<(u64, u8)>,
}

fn case() -> impl Strategy<Value = Case> {
    let some = proptest::collection::vec((any::<u64>(), 0_u8..3), 0..60);
    let common = prop_oneof![0_u64..80, 0_u64..1500];
    (1_usize..5, common, some).prop_map(|(parts, common, lacks)| Case { parts, common, lacks })
}

impl Case {
    fn sets(&self) -> (Set, Set) {
        let (mut a, mut b) = (Set::new(self.parts), Set::new(self.parts));
        for number in 0..self.common {
            let part = usize::try_from(number).unwrap() % self.parts;
            a.put(part, number, 0);
            b.put(part, number, 0);
        }
        for (number, how) in &self.lacks {
            // Among those that are there, and beyond them.
            let number = number % (self.common * 2 + 10);
            let part = usize::try_from(number).unwrap() % self.parts;
            match how {
                0 => a.put(part, number, 1),
                1 => b.put(part, number, 2),
                _ => drop(a.0[part].remove(&spot(part, number))),
            }
        }
        (a, b)
    }
}

/// All that differs is picked, and little else: a small range of which most differs is sent whole.
fn check(picked: &BTreeSet<(usize, Spot)>, differs: &BTreeSet<(usize, Spot)>) {
    let missed: Vec<_> = differs.difference(picked).collect();
    assert_eq!(missed, Vec::<&(usize, Spot)>::new(), "nothing that differs is left out");
    assert!(picked.len() <= differs.len() * 2, "{} for {}", picked.len(), differs.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_sender_picks_what_the_other_lacks(case in case(), begins: bool) {
        let (a, b) = case.sets();
        let (first, second) = if begins { (&a, &b) } else { (&b, &a) };
        let ended = run(compare(first, second, begins));
        let (sender, receiver) =
            if begins { (ended.first, ended.second) } else { (ended.second, ended.first) };
        check(&a.picked(&sender), &a.without(&b));
        prop_assert!(receiver.iter().all(|it| *it == Picked::default()));
    }

    #[test]
    fn a_bound_lies_between_its_neighbours(a: Vec<u8>, b: Vec<u8>, c: String, d: String) {
        let pairs = [
            (Spot::Tombstone(a), Spot::Tombstone(b)),
            (Spot::Row(Key::single(c)), Spot::Row(Key::single(d))),
        ];
        for (mut first, mut second) in pairs {
            if first > second {
                std::mem::swap(&mut first, &mut second);
            }
            prop_assume!(first < second);
            let bound = Spot::between(&first, &second);
            prop_assert!(first <= bound && bound < second, "{bound:?}");
            prop_assert!(bound.code().len() <= first.code().len().max(second.code().len()));
        }
    }
}

fn numbered(count: u64) -> Set {
    let mut set = Set::new(1);
    (0..count).for_each(|number| set.put(0, number, 0));
    set
}

#[tokio::test]
async fn equal_sets_take_one_message_each() {
    for count in [0, 1, 32, 33, 20_000] {
        let set = numbered(count);
        let ended = compare(&set, &set, false).await;
        assert_eq!(ended.messages, 2, "of {count}");
        assert!(ended.bytes < 2000, "of {count}: {} bytes", ended.bytes);
        assert_eq!(set.picked(&ended.second).len(), 0);
    }
}

/// Each message of either side splits large ranges by 17 at least; the last two are the items, and what is wanted of them.
#[tokio::test]
async fn the_messages_grow_with_the_logarithm() {
    for (count, most) in [(30_u64, 2), (500, 4), (9000, 5), (100_000, 6)] {
        let (mut a, b) = (numbered(count), numbered(count));
        for n in 0..10 {
            a.put(0, n * count / 10, 1);
        }
        let ended = compare(&b, &a, false).await;
        assert!(ended.messages <= most, "{} messages for {count} items", ended.messages);
        assert!(ended.bytes < 40_000, "{} bytes for {count} items", ended.bytes);
        assert_eq!(a.picked(&ended.second), a.without(&b));
    }
}

fn all() -> Picked {
    Picked { spans: vec![Span { lower: None, upper: None }], codes: Vec::new() }
}

/// What is here only is one span, and nobody lists it.
#[tokio::test]
async fn what_one_side_does_not_have_at_all_goes_whole() {
    let (a, b) = (numbered(20_000), Set::new(1));
    for picked in [compare(&a, &b, true).await.first, compare(&b, &a, false).await.second] {
        assert_eq!(picked, [all()]);
    }
    let ended = compare(&a, &b, false).await;
    assert_eq!((ended.second, ended.messages), (vec![Picked::default()], 2));
}

/// Where everything differs, listing all of it would be in vain: after a sample the rest is sent whole.
#[tokio::test]
async fn where_everything_differs_little_is_compared() {
    let (mut a, b) = (Set::new(1), numbered(40_000));
    (0..40_000).for_each(|number| a.put(0, number, 1));
    let ended = compare(&b, &a, false).await;
    assert_eq!(a.picked(&ended.second).len(), 40_000);
    let names: usize = ended.second.iter().map(|it| it.spans.len() + it.codes.len()).sum();
    assert!(names < 10_000, "{names} names");
    assert!(ended.bytes < 600_000, "{} bytes", ended.bytes);
    assert!(ended.longest < 300_000, "{} bytes in a message", ended.longest);
}

/// Every fifth item differs, all over the set: messages stay short.
#[tokio::test]
async fn messages_are_bounded() {
    let (mut a, b) = (numbered(30_000), numbered(30_000));
    (0..6000).for_each(|number| a.put(0, number * 5, 1));
    let ended = compare(&b, &a, false).await;
    assert_eq!(a.picked(&ended.second), a.without(&b));
    assert!(ended.longest < 300_000, "{} bytes in a message", ended.longest);
    assert!(ended.messages < 20, "{} messages", ended.messages);
}
