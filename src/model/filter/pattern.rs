//! Regular expressions of `$regex`: PCRE, as in MongoDB.

mod character_class;
#[cfg(test)]
mod tests;
mod translator;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::model::{CloudError, ErrorCode, limits};

/// A Perl-compatible regular expression, compiled once. Two patterns are equal if their texts and options are.
#[derive(Clone)]
pub struct Pattern {
    pattern: Arc<str>,
    options: Arc<str>,
    prefix: Option<Arc<str>>,
    compiled: Arc<fancy_regex::Regex>,
}

impl Pattern {
    /// Compiles a pattern. `options` are any of `i` (any case), `m` (`^` and `$` match at lines), `x` (blanks
    /// ignored), `s` (`.` matches line ends). As in MongoDB, text is UTF-8, and `\w`, `\d`, `\s`, `\b` and POSIX
    /// classes are ASCII only. Subroutine calls, conditions, verbs and branch resets are not supported.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_JSON`] (107), with the reason, if the pattern or an option is invalid or not supported.
    pub fn new(pattern: &str, options: &str) -> Result<Self, CloudError> {
        let invalid = |reason: String| {
            CloudError::new(
                ErrorCode::INVALID_JSON,
                format!("Invalid regular expression '{pattern}': {reason}."),
            )
        };
        if let Some(unknown) = options.chars().find(|option| !"imxs".contains(*option)) {
            return Err(invalid(format!("$options '{unknown}' is none of i, m, x, s")));
        }
        let translated = translator::translate(pattern, options).map_err(&invalid)?;
        let compiled = fancy_regex::RegexBuilder::new(&translated.text)
            .case_insensitive(options.contains('i'))
            .backtrack_limit(limits::REGEX_STEPS_MAX)
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            pattern: pattern.into(),
            options: options.into(),
            prefix: translated.prefix.map(Into::into),
            compiled: Arc::new(compiled),
        })
    }

    /// Quotes `text` as a literal pattern, as LeanCloud's clients do.
    #[must_use]
    pub fn quote(text: &str) -> String {
        format!(r"\Q{}\E", text.replace(r"\E", r"\E\\E\Q"))
    }

    /// Literal prefix of every matching text; `None` if there is none or it is not recognized.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The options as written.
    #[must_use]
    pub fn options(&self) -> &str {
        &self.options
    }

    /// True if `text` contains a match.
    ///
    /// # Errors
    /// [`ErrorCode::TIMEOUT`] (124) if the search takes more than [`limits::REGEX_STEPS_MAX`] steps.
    pub fn finds(&self, text: &str) -> Result<bool, CloudError> {
        self.compiled.is_match(text).map_err(|_| {
            CloudError::new(
                ErrorCode::TIMEOUT,
                format!(
                    "The regular expression '{}' takes too long; make it simpler.",
                    self.pattern
                ),
            )
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.options == other.options
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pattern.hash(state);
        self.options.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.pattern, self.options)
    }
}
