//! Payments that stand under the caller's own key.

use std::time::Duration;

use serde_json::Map;

use crate::model::{CloudError, Filter, ObjectId, Value};
use crate::payment::driver::Known;
use crate::payment::protocol::leg::{Bound, Leg, Legs};
use crate::payment::protocol::log::Intent;
use crate::payment::protocol::machine::Draft;
use crate::payment::service::{CallerKey, Done, Payments, Receipt, keys, undecided};
use crate::payment::{Amount, Kind};

/// At whose wish a payment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A user's, or the app's with a user's money: its policy is asked.
    User,
    /// An operator's, who corrects what has happened.
    Operator,
}

/// What a payment under the caller's own key is to do.
pub(super) struct Asked<'a> {
    pub(super) kind: Kind,
    pub(super) user: &'a ObjectId,
    pub(super) key: &'a CallerKey,
    pub(super) amount: Amount,
    pub(super) params: Map<String, Value>,
    pub(super) legs: Vec<Leg>,
}

impl Asked<'_> {
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

impl Payments {
    /// What takes `amount` from the spendable balance of `user`, where there is as much.
    pub(super) fn debit(&self, user: &ObjectId, amount: Amount) -> Leg {
        let account = &self.0.rules.account;
        Leg::new(self.user_target(user))
            .adding(account, amount.debit())
            .requiring(account, Bound::at_least(amount.units()))
    }

    /// Makes the payment, or answers the one that stands under its key.
    pub(super) async fn make(&self, draft: Draft, by: By) -> Result<Receipt, CloudError> {
        let params = Value::Object(draft.intent.params.clone());
        let asked = format!("{}:{params}", draft.intent.key);
        let deadline = self.deadline();
        self.0
            .flights
            .join(&asked, || self.make_once(draft.clone(), by, deadline))
            .await
    }

    async fn make_once(&self, draft: Draft, by: By, deadline: Duration) -> Result<Receipt, CloudError> {
        // Without rules of the app the unique index looks the key up, when the log is created. With them a repetition
        // must not be asked about.
        let draft = if by == By::User && draft.refusal.is_none() && self.has_policy() {
            let filter = Filter::all().eq("key", draft.intent.key.as_str());
            if let Some(standing) = self.log_matching(filter, deadline).await? {
                if !draft.intent.repeats(&standing.intent) {
                    return Err(keys::reused());
                }
                return self.replay(standing, deadline).await;
            }
            Draft {
                expires_at: draft.expires_at,
                ..self.judged(draft.intent).await?
            }
        } else {
            draft
        };
        match self.carry_out(self.fresh(draft), Known::new(), deadline).await? {
            Done::Finished { log, replayed } => Receipt::answer(&log, replayed),
            Done::Taken(_) => Err(keys::reused()),
            Done::Unconfirmable => Err(undecided()),
        }
    }
}
