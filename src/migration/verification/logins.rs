//! Which users can log in here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{Document, ObjectId, Value};

/// Users of one reason that are named.
const NAMED_MAX: usize = 100;

/// How users log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginReport {
    /// Users in all.
    pub users: u64,
    /// With a password.
    pub with_password: u64,
    /// Through a third party, or anonymously, alone.
    pub with_auth_data: u64,
    /// Those who cannot, by reason.
    pub cannot: BTreeMap<NoLoginReason, u64>,
    /// A hundred of each reason at most.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub examples: BTreeMap<NoLoginReason, Vec<ObjectId>>,
}

/// Why a user cannot log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NoLoginReason {
    /// Neither a password hash nor a third party: the REST API shows no hashes, so import the export.
    NoHash,
    /// As before, but with a telephone number: such a user may have logged in by SMS alone, and paylog sends none.
    PhoneOnly,
}

impl NoLoginReason {
    /// Why, and what can be done.
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
    pub(super) fn look(&mut self, user: &Document) {
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
        if let Some(id) = user.object_id().filter(|_| examples.len() < NAMED_MAX) {
            examples.push(id);
        }
    }

    /// Users who have lost their login, as far as anybody can tell.
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
