//! Environment variables of the process.

use std::collections::BTreeMap;

/// Environment variables of the process, as they were at its start.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

/// A missing or invalid setting. The text says how to correct it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A variable is set but empty.
    #[error("{0} is set but empty: give it a value, or unset it")]
    Empty(&'static str),
    /// Only one of two variables that belong together is set.
    #[error(
        "{missing} is not set, but {given} is: set both, or neither (an app id that is exported for `paylog pull` is \
         meant for that command alone: unset it)"
    )]
    HalfSet {
        /// The variable that is set.
        given: &'static str,
        /// The variable that is not set.
        missing: &'static str,
    },
    /// Keys that LeanCloud's API needs are not set.
    #[error(
        "LEANCLOUD_API_SERVER is set, so paylog runs on LeanCloud's API and needs the app's keys; not set: {}",
        .0.join(", ")
    )]
    Missing(Vec<&'static str>),
    /// An invalid address.
    #[error("{name} is \"{value}\", which is not a usable address: {reason}")]
    Address {
        /// The variable or option.
        name: &'static str,
        /// Its value.
        value: String,
        /// The reason why it is invalid.
        reason: String,
    },
    /// A key of clients equals a key of servers. Every client could do what only servers may.
    #[error(
        "the {client} is the same as the {server}: clients have the one, and the other must stay secret. Give one of them another value"
    )]
    SharedKey {
        /// The key of clients.
        client: &'static str,
        /// The key of servers.
        server: &'static str,
    },
    /// Settings that exclude each other, or an invalid value.
    #[error("{0}")]
    Contradiction(String),
}

impl Variables {
    /// Returns the variables of this process. A variable that is not Unicode counts as absent.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Returns a set of the given variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// Returns the value of `name`; `None` if it is not set.
    ///
    /// # Errors
    /// [`SettingError::Empty`]: an empty variable is a mistake, not an absence.
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
    fn empty_variable_is_an_error_and_absent_one_is_none() {
        let variables = Variables::of([("LEANCLOUD_APP_ID".to_owned(), " ".to_owned())]);
        assert_eq!(
            variables.get("LEANCLOUD_APP_ID"),
            Err(SettingError::Empty("LEANCLOUD_APP_ID"))
        );
        assert_eq!(variables.get("LEANCLOUD_APP_KEY"), Ok(None));
        assert!(!format!("{variables:?}").contains(' '));
    }
}
