//! What a machine needs, one function each: look, install what is missing, look again.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::run::{self, Result, Workspace};
use crate::scratch::Scratch;
use crate::{browser, node, postgres, schemathesis, wasm};

/// How a tool came to be there, with its version where it tells one.
pub(crate) enum Found {
    /// It was there before.
    There(String),
    /// It was installed just now.
    Installed(String),
}

type Find = fn(&Workspace) -> Result<Found>;

/// `cargo xtask setup`
pub(crate) fn setup(workspace: &Workspace) -> Result<ExitCode> {
    let required: [(&str, Find); 10] = [
        ("C compiler", c_compiler),
        ("rustfmt", rustfmt),
        ("clippy", clippy),
        ("std for wasm32", wasm::standard_library),
        ("wasm-bindgen-cli", browser::wasm_bindgen),
        ("Chromium", browser::chromium),
        ("Node.js", node::node),
        ("packages from npm", node::packages),
        ("PostgreSQL", postgres::postgres),
        ("Schemathesis", schemathesis::schemathesis),
    ];
    let mut complete = true;
    for (name, find) in required {
        match find(workspace) {
            Ok(Found::There(version)) => println!("{name}: there ({version})"),
            Ok(Found::Installed(version)) => println!("{name}: installed ({version})"),
            Err(why) => {
                println!("{name}: MISSING: {why}");
                complete = false;
            }
        }
    }
    match nextest(workspace) {
        Some(version) => println!("cargo-nextest: there ({version})"),
        None => println!("cargo-nextest: not there; it is optional, `cargo test` runs the tests"),
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A C compiler with the headers of its standard library: SQLite is built from source.
pub(crate) fn c_compiler(workspace: &Workspace) -> Result<Found> {
    match compiles_c(workspace) {
        Ok(version) => Ok(Found::There(version)),
        Err(why) => {
            let advise = |why| format!("{why}; to install one: apt-get install build-essential");
            install(workspace, "build-essential", why).map_err(advise)?;
            compiles_c(workspace).map(Found::Installed).map_err(advise)
        }
    }
}

/// Installs a package of Debian's, if this is Debian and we may; otherwise the answer is why we have to.
pub(crate) fn install(workspace: &Workspace, package: &str, needed: String) -> Result<()> {
    if !Path::new("/etc/debian_version").exists() || !is_root(workspace) {
        return Err(needed);
    }
    let mut update = workspace.command("apt-get");
    update.arg("update");
    run::output(update)?;
    let mut install = workspace.command("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "-y", "--no-install-recommends", package]);
    run::output(install).map(drop)
}

/// Compiles and links a small program; the answer is the compiler's version.
fn compiles_c(workspace: &Workspace) -> Result<String> {
    let configured = std::env::var("CC").unwrap_or_default();
    let mut words = configured.split_whitespace();
    let program = words.next().unwrap_or("cc");
    let compiler = || {
        let mut command = workspace.command(program);
        command.args(words.clone());
        command
    };
    let version = version(compiler())?;
    let folder = Scratch::new()?;
    link_c(compiler(), &folder.path().join("probe")).map(|()| version)
}

fn link_c(mut compiler: Command, to: &Path) -> Result<()> {
    compiler.args(["-x", "c", "-", "-o"]).arg(to);
    compiler.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let program = b"#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n";
    let built = compiler.spawn().and_then(|mut child| {
        // Taken, so that the compiler sees the end of its input.
        if let Some(mut input) = child.stdin.take() {
            input.write_all(program)?;
        }
        child.wait()
    });
    match built {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the C compiler cannot build a small program: {status}")),
        Err(why) => Err(format!("the C compiler cannot be run: {why}")),
    }
}

fn is_root(workspace: &Workspace) -> bool {
    let mut id = workspace.command("id");
    id.arg("-u");
    run::output(id).is_ok_and(|uid| uid.trim_ascii() == b"0")
}

pub(crate) fn rustfmt(workspace: &Workspace) -> Result<Found> {
    rust_component(workspace, "rustfmt", "fmt")
}

pub(crate) fn clippy(workspace: &Workspace) -> Result<Found> {
    rust_component(workspace, "clippy", "clippy")
}

fn rust_component(workspace: &Workspace, component: &str, command: &str) -> Result<Found> {
    let look = || version(workspace.cargo([command]));
    if let Ok(version) = look() {
        return Ok(Found::There(version));
    }
    let mut add = workspace.command("rustup");
    add.args(["component", "add", component]);
    run::output(add).map_err(|why| format!("no {component}, and {why}"))?;
    look().map(Found::Installed)
}

/// The version of cargo-nextest, which we use where it is and never install.
pub(crate) fn nextest(workspace: &Workspace) -> Option<String> {
    version(workspace.cargo(["nextest"])).ok()
}

/// The first line that a program prints about its version.
pub(crate) fn version(mut command: Command) -> Result<String> {
    command.arg("--version");
    let printed = run::output(command)?;
    Ok(String::from_utf8_lossy(&printed).lines().next().unwrap_or_default().to_owned())
}
