//! Log lines, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// A filter that nobody can read, or a second set-up in one process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter.
    #[error(
        "--log \"{0}\" is no log filter: write a level (error, warn, info, debug, trace) or, say, \"warn,paylog=debug\""
    )]
    Filter(String),
    /// Somebody has set up logging before.
    #[error("logging is set up already")]
    Twice,
}

/// Sends log lines to standard error from now on.
///
/// `filter` is a level or `tracing`'s directives, such as `warn,paylog=debug`.
///
/// # Errors
/// [`LogError`].
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(filter).map_err(|_| LogError::Filter(filter.to_owned()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .try_init(),
    };
    started.map_err(|_| LogError::Twice)
}
