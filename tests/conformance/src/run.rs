//! How a case becomes a test.

#[cfg(not(target_family = "wasm"))]
use std::future::Future;

/// Runs one case to its end: one thread, and a clock that stands still unless everything waits for it.
///
/// # Panics
/// When the case fails.
#[cfg(not(target_family = "wasm"))]
pub fn run_case<H, F: Future<Output = ()>>(make: fn() -> H, case: fn(H) -> F) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().expect("a runtime can be made");
    runtime.block_on(async move { case(make()).await });
}

/// One test: the one place where the test attribute is chosen.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __storex_case {
    ($suite:ident $file:ident $case:ident) => {
        #[test]
        fn $case() {
            $crate::run_case(super::__storex_make, $crate::$suite::$file::$case);
        }
    };
}

/// One test: the one place where the test attribute is chosen.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __storex_case {
    ($suite:ident $file:ident $case:ident) => {
        #[$crate::__private::wasm_bindgen_test(crate = $crate::__private)]
        async fn $case() {
            $crate::$suite::$file::$case(super::__storex_make()).await;
        }
    };
}

/// One test of all cases of a subject.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __storex_subject {
    ($suite:ident $file:ident $($case:ident)*) => {
        #[test]
        fn $file() {
            $($crate::run_case(__storex_make, $crate::$suite::$file::$case);)*
        }
    };
}

/// A module per subject and a test per case, or a test per subject.
#[doc(hidden)]
#[macro_export]
macro_rules! __storex_suite {
    ($make:expr => $harness:path; by_case; $suite:ident: $($file:ident { $($case:ident)* })*) => {
        fn __storex_make() -> $harness {
            $make()
        }
        $(mod $file {
            $($crate::__storex_case!($suite $file $case);)*
        })*
    };
    ($make:expr => $harness:path; by_subject; $suite:ident: $($file:ident { $($case:ident)* })*) => {
        fn __storex_make() -> $harness {
            $make()
        }
        $($crate::__storex_subject!($suite $file $($case)*);)*
    };
}
