//! What the subcommands have in common: their runtime, what they print, how they show how far they have come.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use storex_cli::for_terminal;

/// Ended by the user.
pub(crate) const INTERRUPTED: u8 = 130;

/// Runs a subcommand on a runtime of its own.
pub(crate) fn run(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the system gives no threads: {error}")),
    };
    let code = runtime.block_on(work);
    // What is still under way is not waited for.
    runtime.shutdown_background();
    code
}

pub(crate) fn fail(why: &str) -> ExitCode {
    eprintln!("storex: error: {}", for_terminal(why));
    ExitCode::FAILURE
}

/// Prints a report, as text or as one JSON object.
///
/// # Errors
/// Why it cannot be written as JSON.
pub(crate) fn print(report: &(impl Serialize + fmt::Display), json: bool) -> Result<(), String> {
    let text = if json {
        let json = serde_json::to_string_pretty(report);
        json.map_err(|error| format!("the report cannot be written as JSON: {error}"))? + "\n"
    } else {
        for_terminal(&report.to_string())
    };
    // Whoever closed the other end of the pipe wants no more.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    Ok(())
}

/// A bar on standard error, where that is a terminal; it shows nothing elsewhere.
pub(crate) fn progress_bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(None, target)
}

/// Sets what the bar shows; `{rate}` is how many a second. A template that is wrong shows as the plain bar.
pub(crate) fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        let rate = |state: &ProgressState, f: &mut dyn fmt::Write| {
            let _ = write!(f, "{:.0}", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate));
    }
}
