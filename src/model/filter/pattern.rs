//! Regular expressions of `$regex`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::model::{CloudError, ErrorCode, limits};

/// A Perl-compatible regular expression, compiled once however often it is searched with. Two are equal where their
/// texts are.
#[derive(Clone)]
pub struct Pattern {
    pattern: Arc<str>,
    options: Arc<str>,
    compiled: Arc<fancy_regex::Regex>,
}

impl Pattern {
    /// Compiles a pattern. `\Q…\E` and look-around are understood; `options` are any of `i` (any case), `m` (`^` and `$`
    /// at lines), `x` (blanks ignored), `s` (`.` matches line ends).
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_JSON`] (107) where the pattern or an option is not legal.
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
        let compiled = fancy_regex::RegexBuilder::new(&expand_quotes(pattern))
            .case_insensitive(options.contains('i'))
            .multi_line(options.contains('m'))
            .ignore_whitespace(options.contains('x'))
            .dot_matches_new_line(options.contains('s'))
            .backtrack_limit(limits::REGEX_STEPS_MAX)
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            pattern: pattern.into(),
            options: options.into(),
            compiled: Arc::new(compiled),
        })
    }

    /// A pattern that finds exactly `text`, written as LeanCloud's clients write it.
    #[must_use]
    pub fn quote(text: &str) -> String {
        format!(r"\Q{}\E", text.replace(r"\E", r"\E\\E\Q"))
    }

    /// Text that everything begins with in which the pattern is found; `None` where there is none, or none is seen.
    #[must_use]
    pub fn prefix(&self) -> Option<String> {
        if !self.options.is_empty() {
            return None;
        }
        let mut rest = self.pattern.strip_prefix('^')?;
        let mut prefix = String::new();
        while let Some(next) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix(r"\Q") {
                let (text, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                prefix.push_str(text);
                rest = after;
            } else if next.is_alphanumeric() || matches!(next, ' ' | '_' | '-' | '/' | '@' | ':' | ',') {
                prefix.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            } else {
                break;
            }
        }
        // What repeats the last character may leave it out; an alternative leaves out everything.
        if rest.starts_with(['?', '*', '+', '{']) {
            prefix.pop();
        }
        (!prefix.is_empty() && !rest.contains('|')).then_some(prefix)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The options as they were written.
    #[must_use]
    pub fn options(&self) -> &str {
        &self.options
    }

    /// Whether it is found in `text`.
    ///
    /// # Errors
    /// [`ErrorCode::TIMEOUT`] (124) where the search takes more than [`limits::REGEX_STEPS_MAX`] steps.
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

/// Replaces `\Q…\E` by the same text escaped; a `\E` that ends nothing is dropped, as in Perl.
fn expand_quotes(pattern: &str) -> String {
    let mut expanded = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some((before, escape)) = rest.split_once('\\') {
        expanded.push_str(before);
        let mut after = escape.chars();
        match after.next() {
            Some('Q') => {
                let (text, after) = after.as_str().split_once(r"\E").unwrap_or((after.as_str(), ""));
                push_literal(&mut expanded, text);
                rest = after;
                continue;
            }
            Some('E') => {}
            Some(escaped) => expanded.extend(['\\', escaped]),
            None => expanded.push('\\'),
        }
        rest = after.as_str();
    }
    expanded.push_str(rest);
    expanded
}

/// Everything but letters and digits goes by number: it then means itself inside a class and in extended mode too.
fn push_literal(expanded: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_alphanumeric() {
            expanded.push(character);
        } else {
            expanded.push_str(&format!(r"\x{{{:X}}}", u32::from(character)));
        }
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
