//! What all of it has come to: looked at in the devices' files, in the log of the server, and in what the devices had noted.

use std::collections::{BTreeMap, BTreeSet};

use storex_e2e::audit::{self, Contents, Universe};
use storex_e2e::ops::Touched;
use storex_e2e::process::Notes;
use storex_e2e::{block_on, writers};

use super::agreed;
use super::site::{Settled, Site};

/// # Panics
/// When something was lost, is there twice, or is not the same everywhere.
pub(crate) fn check(site: &Site, settled: &Settled) {
    let log = agreed::log(&format!("http://{}", site.server_address), site.place.path());
    let universe = block_on(Universe::of_log(&*log));
    assert_eq!(universe.transactions.len(), site.ended.len(), "no device took itself for another");
    let expected = universe.fold();
    let (mut rows, mut told_by_all, mut lives) = (Contents::new(), Vec::new(), 0);
    for &(name, last) in &site.ended {
        let path = site.place.file(&agreed::database(name));
        // Each device's rows are what its clocks, its log and the log of the server say.
        audit::check_device(&path, &universe, None);
        rows = audit::contents(&path);
        audit::assert_same(&rows, &expected.rows, "not as the others", &path);

        let told = (1..=last).flat_map(|life| {
            Notes::writes(&Notes::read(&site.place.file(&agreed::notes(name, life))))
        });
        let told: Vec<Vec<Touched>> = told.filter(|touched| !touched.is_empty()).collect();
        let own = universe.of(audit::standing(&path).expect("it has a log").me);
        // In each life that was cut short one write may have been done that was not noted any more.
        let perhaps = usize::try_from(last - 1).unwrap();
        assert!(
            (told.len()..=told.len() + perhaps).contains(&own.len()),
            "device {name}: {} writes were acknowledged, {} are in the log",
            told.len(),
            own.len()
        );
        if agreed::is_unreduced(name) {
            writers::assert_in_order(name, &told, &own);
        }
        check_receipts(name, &rows, &told, perhaps);
        println!("device {name}: {} writes in {last} lives", own.len());
        told_by_all.extend(told);
        lives += perhaps;
    }
    assert!(settled.digests.iter().all(|digest| *digest == settled.digests[0]), "{settled:?}");
    check_increments(&rows, &told_by_all, lives);
    assert!(site.passed().cut > 0, "the network was well");
    assert!(settled.exchanges.iter().all(|count| *count > 0), "{settled:?}");
    println!("{} rows", rows.len());
}

fn balance(rows: &Contents, account: &str) -> usize {
    let row = &rows[&("account".to_owned(), vec![format!("t{account}")])];
    row["balance"].strip_prefix('i').unwrap().parse().unwrap()
}

/// The receipts of a device are those that it has made.
fn check_receipts(name: &str, rows: &Contents, told: &[Vec<Touched>], perhaps: usize) {
    let shelf = format!("t{}", agreed::receipts(name));
    let there: BTreeSet<&String> =
        receipts(rows).filter(|key| key[0] == shelf).map(|key| &key[1]).collect();
    let created = told.iter().flatten().filter(|it| it.kind == "create" && it.collection == "doc");
    let told: BTreeSet<&String> =
        created.filter(|it| it.key[0] == shelf).map(|it| &it.key[1]).collect();
    assert!(there.is_superset(&told), "device {name}: receipts are lost");
    assert!(there.len() <= told.len() + perhaps, "device {name}: receipts that nobody has written");
    assert!(!told.is_empty(), "device {name} has written none");
}

fn receipts(rows: &Contents) -> impl Iterator<Item = &Vec<String>> {
    let docs = rows.keys().filter(|(collection, _)| collection == "doc").map(|(_, key)| key);
    docs.filter(|key| key[0].starts_with("treceipts-"))
}

/// Each increment counts once.
fn check_increments(rows: &Contents, told: &[Vec<Touched>], perhaps: usize) {
    assert_eq!(balance(rows, "receipts"), receipts(rows).count(), "an increment for each receipt");
    let one = BTreeMap::from([("balance".to_owned(), "+i1".to_owned())]);
    let common = |it: &&Touched| it.key == ["tcommon"] && it.set == one;
    let told = told.iter().flatten().filter(common).count();
    let there = balance(rows, "common");
    assert!((told..=told + perhaps).contains(&there), "{told} were acknowledged, {there} counted");
    println!("{there} and {} increments", balance(rows, "receipts"));
}
