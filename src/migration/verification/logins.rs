//! Report about the users who can log in here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{Document, ObjectId, Value};

/// Most users that are listed for one reason.
const LISTED_MAX: usize = 100;

/// Numbers of users by their way to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginReport {
    /// Number of users.
    pub users: u64,
    /// Users with a password.
    pub with_password: u64,
    /// Users who log in only through a third party, or anonymously.
    pub with_auth_data: u64,
    /// Users who cannot log in, by reason.
    pub cannot: BTreeMap<NoLoginReason, u64>,
    /// Examples for each reason, at most 100.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub examples: BTreeMap<NoLoginReason, Vec<ObjectId>>,
}

/// Reason why a user cannot log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NoLoginReason {
    /// The user has neither a password hash nor a third-party login. The REST API shows no hashes: import the export.
    NoHash,
    /// The same, but with a telephone number. The user may have logged in by SMS, which paylog does not send.
    PhoneOnly,
}

impl NoLoginReason {
    /// The reason and the remedy, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoHash => {
                "have no password hash: the REST API does not show it. Import the export (paylog import), which has it"
            }
            Self::PhoneOnly => {
                "have a telephone number and no password hash: paylog sends no SMS. If the export has no hash either, \
                 they need a password of yours, or a login through your own function"
            }
        }
    }
}

impl LoginReport {
    /// Adds a user.
    pub(super) fn add(&mut self, user: &Document) {
        let has = |key: &str| user.text(key).is_some_and(|text| !text.is_empty());
        self.users += 1;
        let reason = if has("password") || has("bcryptPassword") {
            self.with_password += 1;
            return;
        } else if has_auth_data(user) {
            self.with_auth_data += 1;
            return;
        } else if has("mobilePhoneNumber") {
            NoLoginReason::PhoneOnly
        } else {
            NoLoginReason::NoHash
        };
        *self.cannot.entry(reason).or_default() += 1;
        let examples = self.examples.entry(reason).or_default();
        if let Some(id) = user.object_id().filter(|_| examples.len() < LISTED_MAX) {
            examples.push(id);
        }
    }

    /// Number of users who have lost their login, as far as can be known.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.cannot
            .get(&NoLoginReason::NoHash)
            .copied()
            .unwrap_or_default()
    }
}

fn has_auth_data(user: &Document) -> bool {
    match user.get("authData") {
        Some(Value::Object(platforms)) => platforms.values().any(|data| !data.is_null()),
        _ => false,
    }
}
