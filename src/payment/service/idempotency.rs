//! Idempotency keys, and payments that exist once per caller's key.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Map;

use crate::model::{CloudError, ErrorCode, Filter, ObjectId, Test, Value};
use crate::payment::driver::Prefetched;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::leg::{Bound, Leg, Legs};
use crate::payment::protocol::log::fields;
use crate::payment::protocol::machine::NewPayment;
use crate::payment::service::errors::key_reused;
use crate::payment::service::{PaymentService, Receipt};
use crate::payment::{Amount, Kind};

/// The caller's idempotency key: 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct CallerKey(String);

impl CallerKey {
    /// The longest key, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Reads a key from a request.
    ///
    /// # Errors
    /// 107 if it is no text of 1 to 64 characters.
    pub fn from_value(value: &Value) -> Result<Self, CloudError> {
        let legal = |key: &&str| (1..=Self::LENGTH_MAX).contains(&key.chars().count());
        let key = value.as_str().filter(legal).ok_or_else(|| {
            CloudError::new(
                ErrorCode::INVALID_JSON,
                "'key' is a text of 1 to 64 characters that the caller makes up, one for each payment.",
            )
        })?;
        Ok(Self(key.to_owned()))
    }

    /// The unique form in a log: `<user id>:<kind>:<key>`.
    #[must_use]
    pub fn of_payment(&self, user: &ObjectId, kind: Kind) -> String {
        format!("{user}:{kind}:{}", self.0)
    }

    /// The unique form in an order: `<user id>:<key>`.
    #[must_use]
    pub fn of_order(&self, user: &ObjectId) -> String {
        format!("{user}:{}", self.0)
    }
}

impl TryFrom<Value> for CallerKey {
    type Error = CloudError;

    fn try_from(value: Value) -> Result<Self, CloudError> {
        Self::from_value(&value)
    }
}

/// The key of the one log that settles the hold or withdrawal `held`.
pub(super) fn settlement_key(held: &ObjectId) -> String {
    format!("settle:{held}")
}

/// The key of the `n`-th refund of the order `number`.
pub(super) fn refund_key(number: &str, n: u32) -> String {
    format!("refund:{number}:{n}")
}

/// Matches the keys `<prefix>:<n>`.
pub(super) fn keys_with_prefix(prefix: &str) -> Filter {
    // In ASCII the semicolon follows the colon.
    Filter::all()
        .gte(fields::KEY, format!("{prefix}:"))
        .and_key(fields::KEY, Test::Lt(format!("{prefix};").into()))
}

/// The one on whose behalf a payment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Initiator {
    /// A user, or the app with a user's money: the policy is asked.
    User,
    /// An operator who corrects what has happened: the policy is not asked.
    Operator,
}

/// The content of a payment under the caller's key.
pub(super) struct KeyedPayment<'a> {
    pub(super) kind: Kind,
    pub(super) user: &'a ObjectId,
    pub(super) key: &'a CallerKey,
    pub(super) amount: Amount,
    pub(super) params: Map<String, Value>,
    pub(super) legs: Vec<Leg>,
}

impl KeyedPayment<'_> {
    pub(super) fn into_intent(self) -> Result<Intent, CloudError> {
        Ok(Intent {
            key: self.key.of_payment(self.user, self.kind),
            request_key: None,
            number: None,
            kind: self.kind,
            user: self.user.clone(),
            order: None,
            amount: Some(self.amount),
            params: self.params,
            legs: Legs::new(self.legs).map_err(|error| error.to_cloud_error())?,
        })
    }
}

impl PaymentService {
    /// The leg that takes `amount` from the spendable balance of `user`, if the balance is sufficient.
    pub(super) fn debit(&self, user: &ObjectId, amount: Amount) -> Leg {
        let account = &self.0.names.account;
        Leg::new(self.user_target(user))
            .adding(account, amount.debit())
            .requiring(account, Bound::at_least(amount.units()))
    }

    /// Makes the payment, or returns the existing payment with the same key.
    ///
    /// **Idempotency**: one payment per key; a refusal is final for its key.
    ///
    /// # Errors
    /// The refusal; 9003, 9010, 9011.
    pub(super) async fn make_once_per_key(
        &self,
        draft: NewPayment,
        initiator: Initiator,
    ) -> Result<Receipt, CloudError> {
        let params = Value::Object(draft.intent.params.clone());
        let call = format!("{}:{params}", draft.intent.key);
        let deadline = self.deadline();
        self.0
            .flights
            .join(&call, || self.make(draft.clone(), initiator, deadline))
            .await
    }

    async fn make(
        &self,
        draft: NewPayment,
        initiator: Initiator,
        deadline: Duration,
    ) -> Result<Receipt, CloudError> {
        // Without a policy the unique index finds an existing key when the log is created. With one, a repetition must
        // be found before, as the policy must not be asked about it again.
        let draft = if initiator == Initiator::User && draft.refusal.is_none() && self.has_policy() {
            let filter = Filter::all().eq(fields::KEY, draft.intent.key.as_str());
            if let Some(existing) = self.find_log(filter, deadline).await? {
                if !draft.intent.repeats(&existing.intent) {
                    return Err(key_reused());
                }
                return self.replay(existing, deadline).await;
            }
            NewPayment {
                expires_at: draft.expires_at,
                ..self.ask_policy(draft.intent).await?
            }
        } else {
            draft
        };
        let outcome = self
            .execute(self.fresh(draft), Prefetched::new(), deadline)
            .await?;
        outcome.into_receipt(|_| key_reused())
    }
}
