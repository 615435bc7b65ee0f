//! The environment, as it was at the start.

use std::collections::BTreeMap;

/// The environment variables of the process, as they were at the start.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

/// A setting that is missing or makes no sense. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A variable is there but empty.
    #[error("{0} is set but empty: give it a value, or unset it")]
    Empty(&'static str),
    /// Keys that are needed together are not all there.
    #[error(
        "{missing} is not set, but {given} is: set both, or neither (an app id that is exported for `paylog pull` is \
         meant for that command alone: unset it)"
    )]
    HalfSet {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// Keys without which LeanCloud's API cannot be used.
    #[error(
        "LEANCLOUD_API_SERVER is set, so paylog runs on LeanCloud's API and needs the app's keys; not set: {}",
        .0.join(", ")
    )]
    Missing(Vec<&'static str>),
    /// An address that is none.
    #[error("{name} is \"{value}\", which is not a usable address: {reason}")]
    Address {
        /// The variable or option.
        name: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that every client has, and that would open what only servers may do.
    #[error(
        "the {client} is the same as the {server}: clients have the one, and the other must stay secret. Give one of them another value"
    )]
    SharedKey {
        /// The client's.
        client: &'static str,
        /// The server's.
        server: &'static str,
    },
    /// Two settings that exclude each other.
    #[error("{0}")]
    Contradiction(String),
}

impl Variables {
    /// Those of this process. A variable that is not Unicode counts as absent.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Those given.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The value of `name`; `None` where it is not set.
    ///
    /// # Errors
    /// [`SettingError::Empty`]: a variable that is set to nothing is a mistake, not an absence.
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, SettingError> {
        match self.0.get(name).map(|value| value.trim()) {
            Some("") => Err(SettingError::Empty(name)),
            other => Ok(other),
        }
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_differ() {
        let variables = Variables::of([("LEANCLOUD_APP_ID".to_owned(), " ".to_owned())]);
        assert_eq!(
            variables.get("LEANCLOUD_APP_ID"),
            Err(SettingError::Empty("LEANCLOUD_APP_ID"))
        );
        assert_eq!(variables.get("LEANCLOUD_APP_KEY"), Ok(None));
        assert!(!format!("{variables:?}").contains(' '));
    }
}
