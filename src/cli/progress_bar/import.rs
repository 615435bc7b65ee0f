//! The progress of an import: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::app::terminal;
use crate::cli::progress_bar;
use crate::environment::Environment;
use crate::migration::ImportProgress;

/// Minimum time between two lines, without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Progress of an import: a bar on a terminal, lines elsewhere.
pub(crate) struct ImportProgressBar {
    bar: ProgressBar,
    is_terminal: bool,
    environment: Environment,
    last: Duration,
}

impl ImportProgressBar {
    pub(crate) fn new(environment: Environment) -> Self {
        let template = "{msg:>24} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        Self {
            bar: progress_bar::styled(ProgressBar::new(0), template),
            is_terminal: std::io::stderr().is_terminal(),
            last: environment.elapsed(),
            environment,
        }
    }

    pub(crate) fn update(&mut self, progress: ImportProgress) {
        self.bar.set_length(progress.bytes_total.max(progress.bytes));
        self.bar.set_position(progress.bytes);
        self.bar.set_message(format!("{} rows", progress.rows));
        let now = self.environment.elapsed();
        if !self.is_terminal && now.saturating_sub(self.last) >= LINE_INTERVAL {
            self.last = now;
            let percent = progress.bytes.saturating_mul(100) / progress.bytes_total.max(1);
            terminal::eprint_line(format!(
                "{} rows, {}% of the files",
                progress.rows,
                percent.min(100)
            ));
        }
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
