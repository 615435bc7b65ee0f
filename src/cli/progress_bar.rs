//! Progress of a command: a bar on a terminal, lines elsewhere.

mod audit;
mod import;
mod pull;

use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use audit::AuditProgressBar;
pub(crate) use import::ImportProgressBar;
pub(crate) use pull::PullProgress;

/// Returns a bar on standard error; it is invisible without a terminal.
pub(crate) fn progress(what: &'static str, total: u64) -> ProgressBar {
    let template = "{msg:>10} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}";
    let bar = styled(ProgressBar::new(total), template);
    bar.set_message(what);
    bar
}

/// Applies the common style and `template` to a bar.
pub(crate) fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}
