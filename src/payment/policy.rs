//! Rules of an app that decide whether a payment may be made.

use async_trait::async_trait;

use crate::model::ObjectId;
use crate::payment::protocol::log::Intent;
use crate::payment::{Amount, Kind};

/// What a policy is asked about.
#[derive(Clone, Debug)]
pub struct Proposal<'a> {
    /// What for.
    pub kind: Kind,
    /// Whose payment.
    pub user: &'a ObjectId,
    /// How much.
    pub amount: Option<Amount>,
    /// Everything about it, the legs included.
    pub intent: &'a Intent,
}

/// Decides what an app allows: daily limits, who may transfer, and the like. Asked before a payment with a user's money
/// begins (recharge, purchase, transfer, withdrawal, hold; not what ends, gives back or corrects one), never again
/// once a log stands under its key: a refusal is recorded, and answered to every repetition. Where it has no answer
/// within `store_timeout` nothing is decided, and the caller is told so (9010).
#[async_trait]
pub trait PaymentPolicy: Send + Sync {
    /// Allows the payment, or says why not.
    ///
    /// # Errors
    /// The text that the caller is answered with, under code 9007.
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
