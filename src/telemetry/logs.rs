//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Failure to set up logging.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter is malformed.
    #[error(
        "--log \"{0}\" is not a log filter: write a level (error, warn, info, debug, trace) or, say, \"warn,paylog=debug\""
    )]
    Filter(String),
    /// Logging is set up already.
    #[error("logging is set up already")]
    Twice,
}

/// True if a directive is a bare word that is not a level. `tracing` takes it for the name of a module, so that a
/// mistyped level would silence everything.
fn has_stray_word(filter: &str) -> bool {
    const LEVELS: [&str; 12] = [
        "off", "error", "warn", "info", "debug", "trace", "0", "1", "2", "3", "4", "5",
    ];
    // Spans and fields in brackets may hold commas.
    if filter.contains('[') {
        return false;
    }
    filter.split(',').map(str::trim).any(|directive| {
        let is_level = LEVELS.iter().any(|level| directive.eq_ignore_ascii_case(level));
        !directive.is_empty() && !directive.contains('=') && !is_level
    })
}

/// Starts to write log lines to standard error.
///
/// `filter` is a level or `tracing`'s directives, such as `warn,paylog=debug`.
///
/// # Errors
/// [`LogError`] if the filter is malformed or logging is set up already.
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let wrong = || LogError::Filter(filter.to_owned());
    if has_stray_word(filter) {
        return Err(wrong());
    }
    let parsed = EnvFilter::try_new(filter).map_err(|_| wrong())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_level_is_refused() {
        for filter in ["wran", "paylog", "warn,paylog", "info,wran,paylog=debug"] {
            assert!(has_stray_word(filter), "{filter}");
            assert!(matches!(start(filter, LogFormat::Text), Err(LogError::Filter(_))));
        }
        for filter in [
            "",
            "warn",
            "INFO",
            "off",
            "warn,paylog=debug",
            "paylog[call{id,key}]=trace",
        ] {
            assert!(!has_stray_word(filter), "{filter}");
        }
    }
}
