//! Serves the application of this package, and is the server that keeps its devices in step: `cargo xtask notes-web` builds the one and
//! starts the other.

#[cfg(not(target_family = "wasm"))]
mod server;

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    server::main()
}

/// A browser loads the library.
#[cfg(target_family = "wasm")]
fn main() {}
