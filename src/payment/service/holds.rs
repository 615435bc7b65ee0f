//! Holds: money is set aside, then captured, released, or given back when the hold expires.

use serde_json::Map;

use crate::model::value::as_integer;
use crate::model::{CloudError, ErrorCode, ObjectId, Value};
use crate::payment::protocol::machine::NewPayment;
use crate::payment::service::idempotency::{Initiator, KeyedPayment};
use crate::payment::service::parameters::seconds_to_millis;
use crate::payment::service::settlement_kind::SettlementKind;
use crate::payment::service::settlements::Settlement;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Amount, Kind};

/// The default time after which a hold expires, in seconds: 7 days.
pub const HOLD_SECONDS: i64 = 7 * 24 * 60 * 60;

/// The longest time that money may be held, in seconds: 30 days. A forgotten hold looks like lost money.
pub const HOLD_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

impl PaymentService {
    /// Sets money of `user` aside: it no longer counts as spendable. After `expires_in` seconds (7 days if `None`, at most
    /// 30 days) the sweeper gives it back, unless it is captured or released before.
    ///
    /// **Idempotency**: one hold per `key`; a refusal is final for it.
    ///
    /// # Errors
    /// 107 (`expires_in`), 9001, 9002, 9003, 9004 (no such user), 9007, 9010, 9011.
    pub async fn hold_funds(
        &self,
        user: &ObjectId,
        amount: &Value,
        expires_in: Option<&Value>,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        let amount = Amount::from_value(amount)?;
        let seconds = seconds(expires_in)?;
        let params = Map::from_iter([
            ("amount".to_owned(), amount.into()),
            ("expiresIn".to_owned(), seconds.into()),
        ]);
        let payment = KeyedPayment {
            kind: Kind::Hold,
            user,
            key,
            amount,
            params,
            legs: vec![
                self.debit(user, amount)
                    .adding(&self.0.names.frozen, amount.credit()),
            ],
        };
        let expires_at = self.0.environment.now().plus_millis(seconds_to_millis(seconds));
        let draft = NewPayment {
            expires_at: Some(expires_at),
            ..NewPayment::new(payment.into_intent()?)
        };
        self.make_once_per_key(draft, Initiator::User).await
    }

    /// Captures `amount` of a hold, or all of it if `None`, and settles the hold: the rest is spendable again. The captured
    /// amount is credited to `payee`, or kept by the app.
    ///
    /// **Idempotency**: one settlement per hold, one capture per `key`. A refusal is final for its key and leaves the
    /// hold unchanged.
    ///
    /// # Errors
    /// 9001, 9003, 9004 (no such hold or payee), 9006 (it was refused, or is settled), 9009 (more than is held), 9010,
    /// 9011.
    pub async fn capture_hold(
        &self,
        hold: &ObjectId,
        amount: Option<&Value>,
        payee: Option<&ObjectId>,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        let settlement = Settlement {
            amount: amount.map(Amount::from_value).transpose()?,
            payee: payee.cloned(),
            key: Some(key.clone()),
            ..Settlement::new(SettlementKind::Captured)
        };
        self.settle(hold, settlement).await
    }

    /// Releases a hold: all of it is spendable again.
    ///
    /// **Idempotency**: one settlement per hold, one release per `key`.
    ///
    /// # Errors
    /// 9003, 9004 (no such hold), 9006 (it was refused, or is settled), 9010, 9011.
    pub async fn release_hold(&self, hold: &ObjectId, key: &CallerKey) -> Result<Receipt, CloudError> {
        let settlement = Settlement {
            key: Some(key.clone()),
            ..Settlement::new(SettlementKind::Released)
        };
        self.settle(hold, settlement).await
    }
}

fn seconds(expires_in: Option<&Value>) -> Result<i64, CloudError> {
    let Some(value) = expires_in else {
        return Ok(HOLD_SECONDS);
    };
    let seconds = as_integer(value).filter(|seconds| (1..=HOLD_SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| {
        let text = format!(
            "'expiresIn' is an integer from 1 to {HOLD_SECONDS_MAX}, in seconds; {HOLD_SECONDS} (7 days) without it."
        );
        CloudError::new(ErrorCode::INVALID_JSON, text)
    })
}
