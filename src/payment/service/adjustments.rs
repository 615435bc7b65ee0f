//! Adjustments: an operator's corrections of accounts, with a reason.

use serde_json::Map;

use crate::model::value::as_integer;
use crate::model::{CloudError, ErrorCode, ObjectId, Value};
use crate::payment::protocol::leg::{Bound, Leg};
use crate::payment::protocol::machine::NewPayment;
use crate::payment::service::idempotency::{Initiator, KeyedPayment};
use crate::payment::service::parameters::check_text;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Amount, Kind};

impl PaymentService {
    /// Adds `amount` to the account of `user`; takes it if negative; never 0. `reason` (1 to 256
    /// characters) is kept, and shown to the user.
    ///
    /// **Idempotency**: one adjustment per `key`; a refusal is final for it.
    ///
    /// # Errors
    /// 107 (reason), 9001, 9002 (the balance would fall below 0), 9003, 9004 (no such user), 9010, 9011.
    pub async fn adjust_account(
        &self,
        user: &ObjectId,
        amount: &Value,
        reason: &str,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        self.adjust_account_down_to(user, amount, None, reason, key).await
    }

    /// As [`PaymentService::adjust_account`]; the balance may fall to `floor` minor units, 0 if `None`.
    ///
    /// # Errors
    /// Those of [`PaymentService::adjust_account`]; also 9001 if `floor` is no integer within ±10^12, or `amount` is
    /// positive.
    pub async fn adjust_account_down_to(
        &self,
        user: &ObjectId,
        amount: &Value,
        floor: Option<&Value>,
        reason: &str,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        let units = as_integer(amount).ok_or_else(not_signed)?;
        let amount = units.checked_abs().and_then(Amount::new).ok_or_else(not_signed)?;
        let floor = floor
            .map(|floor| floor_of(floor, units))
            .transpose()?
            .unwrap_or(0);
        check_text("reason", reason)?;
        let mut params = Map::from_iter([
            ("amount".to_owned(), units.into()),
            ("reason".to_owned(), reason.into()),
        ]);
        if floor != 0 {
            params.insert("floor".to_owned(), floor.into());
        }
        let account = &self.0.names.account;
        let leg = Leg::new(self.user_target(user));
        let leg = if units > 0 {
            leg.adding(account, amount.credit())
        } else {
            let least = amount.units().checked_add(floor).ok_or_else(not_signed)?;
            leg.adding(account, amount.debit())
                .requiring(account, Bound::at_least(least))
        };
        let payment = KeyedPayment {
            kind: Kind::Adjust,
            user,
            key,
            amount,
            params,
            legs: vec![leg],
        };
        self.make_once_per_key(NewPayment::new(payment.into_intent()?), Initiator::Operator)
            .await
    }
}

fn floor_of(floor: &Value, units: i64) -> Result<i64, CloudError> {
    let most = Amount::MAX.units().unsigned_abs();
    as_integer(floor)
        .filter(|floor| floor.unsigned_abs() <= most && units < 0)
        .ok_or_else(|| {
            let text = "'floor' is an integer within 1000000000000 of 0 in minor units (fen), and goes with an amount \
                        below 0.";
            CloudError::new(ErrorCode::INVALID_AMOUNT, text)
        })
}

fn not_signed() -> CloudError {
    let text = "The amount of an adjustment is an integer from 1 to 1000000000000 in minor units (fen), or below 0 \
                to take as much.";
    CloudError::new(ErrorCode::INVALID_AMOUNT, text)
}
