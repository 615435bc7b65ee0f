//! The policy: rules of an app that allow or refuse payments.

use async_trait::async_trait;

use crate::model::ObjectId;
use crate::payment::protocol::intent::Intent;
use crate::payment::{Amount, Kind};

/// A proposed payment, for the policy to judge.
#[derive(Clone, Debug)]
pub struct Proposal<'a> {
    /// Kind of payment.
    pub kind: Kind,
    /// The user whose payment it is.
    pub user: &'a ObjectId,
    /// Amount.
    pub amount: Option<Amount>,
    /// The whole payment, legs included.
    pub intent: &'a Intent,
}

/// Rules of an app, such as daily limits or who may transfer. The policy is asked before a payment with a user's money
/// begins (recharge, purchase, transfer, withdrawal, hold; not a settlement, refund or adjustment), and never again once
/// a log exists under its key: a refusal is recorded, and returned to every repetition. If the policy does not answer
/// within `store_timeout`, the payment stays undecided (9010).
#[async_trait]
pub trait PaymentPolicy: Send + Sync {
    /// Allows or refuses the payment.
    ///
    /// # Errors
    /// The text of the refusal, returned to the caller with code 9007.
    async fn allow(&self, proposal: Proposal<'_>) -> Result<(), String>;
}

/// Allows everything; the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

#[async_trait]
impl PaymentPolicy for AllowAll {
    async fn allow(&self, _: Proposal<'_>) -> Result<(), String> {
        Ok(())
    }
}
