//! The progress of a pull or a proof: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::app::terminal;
use crate::cli::progress_bar;
use crate::environment::Environment;
use crate::migration::pull::{Event, Observer};

/// Minimum time between two lines about a class, without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Observer that shows the progress.
#[derive(Debug)]
pub(crate) struct PullProgress {
    environment: Environment,
    on_terminal: bool,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    bar: Option<ProgressBar>,
    rows: u64,
    total: Option<u64>,
    last_line: Duration,
}

impl PullProgress {
    pub(crate) fn new(environment: Environment) -> Self {
        Self {
            environment,
            on_terminal: std::io::stderr().is_terminal(),
            shown: Mutex::default(),
        }
    }
}

impl Shown {
    fn line(&self, class: &str) -> String {
        match self.total {
            Some(total) => format!("{class}: {} of {total} objects", self.rows),
            None => format!("{class}: {} objects", self.rows),
        }
    }
}

impl Observer for PullProgress {
    fn on_event(&self, event: Event<'_>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let say = |shown: &Shown, line: String| match &shown.bar {
            Some(bar) => bar.suspend(|| terminal::eprint_line(line)),
            None => terminal::eprint_line(line),
        };
        match event {
            Event::ClassStarted { class, total } => {
                *shown = Shown {
                    total,
                    last_line: self.environment.elapsed(),
                    ..Shown::default()
                };
                if self.on_terminal {
                    shown.bar = Some(bar(class.as_str(), total));
                }
            }
            Event::RowsRead { class, rows } => {
                shown.rows += rows as u64;
                if let Some(bar) = &shown.bar {
                    bar.set_position(shown.rows);
                } else {
                    let now = self.environment.elapsed();
                    if now.saturating_sub(shown.last_line) >= LINE_INTERVAL {
                        shown.last_line = now;
                        terminal::eprint_line(shown.line(class.as_str()));
                    }
                }
            }
            Event::ClassFinished { class } => {
                if let Some(bar) = shown.bar.take() {
                    bar.finish_and_clear();
                }
                if shown.rows > 0 {
                    terminal::eprint_line(shown.line(class.as_str()));
                }
            }
            Event::RowRefused { class, id, reason } => {
                say(&shown, format!("{class} {id}: not loaded: {reason}"));
            }
            Event::Notice(text) => say(&shown, text.to_owned()),
        }
    }
}

fn bar(class: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{msg:>20} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}",
        ),
        None => (ProgressBar::new_spinner(), "{msg:>20} {human_pos} {per_sec}"),
    };
    let bar = progress_bar::styled(bar, template);
    bar.set_message(class.to_owned());
    bar
}
