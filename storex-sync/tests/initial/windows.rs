//! How large pages are, and how many are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use storex_sync::InitialSync;

use super::lines::Tampered;
use super::support::{assert_in_step, pump};
use super::told::{device, one_way, opened, two};

/// Everything arrives although the receiver takes one page at a time.
#[tokio::test(start_paused = true)]
async fn the_lower_window_of_both_holds() {
    for (sends, takes) in [(1, 9), (9, 1), (2, 3)] {
        let (a, b) = two().await;
        let most = Arc::<AtomicUsize>::default();
        let (seen, under_way) = (Arc::clone(&most), Arc::<AtomicUsize>::default());
        let ends = Tampered::pair(move |_, frame| {
            match frame[1] {
                2 | 3 | 8 => {
                    let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    seen.fetch_max(now, Ordering::SeqCst);
                }
                4 => {
                    under_way.fetch_sub(1, Ordering::SeqCst);
                }
                _ => {}
            }
            Some(frame)
        });
        let (sender, receiver) =
            (opened(&a).await.page(1).window(sends), opened(&b).await.window(takes));
        let (sent, received) = one_way(&sender, &receiver, ends).await;
        sent.unwrap();
        received.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), sends.min(takes));
    }
}

/// Large rows make small pages, and many small rows large ones; none is above what was asked.
#[tokio::test(start_paused = true)]
async fn pages_are_of_about_a_mebibyte() {
    let (a, b) = (device(1, &[]).await, device(2, &[]).await);
    let large = "x".repeat(300_000);
    for n in 0..12 {
        a.note(&format!("a{n:02}"), &large).await;
    }
    a.note("b", &"x".repeat(3_000_000)).await;
    for n in 0..400 {
        a.note(&format!("c{n:03}"), "small").await;
    }
    let largest = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&largest);
    let ends = Tampered::pair(move |_, frame| {
        // But for that of the one row that is larger.
        if frame.len() < 3_000_000 {
            seen.fetch_max(frame.len(), Ordering::SeqCst);
        }
        Some(frame)
    });
    let sender = InitialSync::open(&a.storage).await.unwrap();
    let receiver = InitialSync::open(&b.storage).await.unwrap();
    let (sent, received) = one_way(&sender, &receiver, ends).await;
    assert_eq!((sent.unwrap().total(), received.unwrap().total()), (413, 413));
    let largest = largest.load(Ordering::SeqCst);
    assert!((600_000..1_100_000).contains(&largest), "{largest}");
    pump(&a, &b).await;
    assert_in_step(&[&a, &b]).await;
}
