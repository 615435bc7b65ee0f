//! Settlements: a hold or a withdrawal is settled by exactly one further log, whose fixed key names the settled log.
//!
//! The unique index on that key decides which settlement wins. A settlement is refused only before it begins, and then
//! under its caller's key: the hold stays as it is, and can still be settled.

use std::time::Duration;

use serde_json::Map;

use crate::model::{CloudError, ErrorCode, ObjectId};
use crate::payment::driver::Prefetched;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::leg::{Leg, Legs};
use crate::payment::protocol::log::{Log, fields};
use crate::payment::protocol::machine::NewPayment;
use crate::payment::protocol::target::Target;
use crate::payment::service::errors::{key_reused, no_such};
use crate::payment::service::idempotency::settlement_key;
use crate::payment::service::settlement_kind::SettlementKind;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Amount, Delta, Kind, ProtocolError, Refusal};

/// A requested settlement.
#[derive(Clone, Debug)]
pub(in crate::payment) struct Settlement {
    pub(super) kind: SettlementKind,
    /// Captures: the amount, if not all.
    pub(super) amount: Option<Amount>,
    /// Captures: the credited user; `None` if the app keeps the money.
    pub(super) payee: Option<ObjectId>,
    /// The caller's key; `None` for an expiry and for a payout.
    pub(super) key: Option<CallerKey>,
}

impl Settlement {
    pub(in crate::payment) fn new(kind: SettlementKind) -> Self {
        Self {
            kind,
            amount: None,
            payee: None,
            key: None,
        }
    }
}

impl PaymentService {
    /// Settles a hold or a withdrawal, or returns the same settlement made before.
    ///
    /// **Idempotency**: one settlement per hold or withdrawal.
    ///
    /// # Errors
    /// 9003, 9004, 9006 (it was refused, or is settled otherwise), 9009, 9010, 9011.
    pub(in crate::payment) async fn settle(
        &self,
        held: &ObjectId,
        settlement: Settlement,
    ) -> Result<Receipt, CloudError> {
        let call = format!("end:{held}:{settlement:?}");
        let deadline = self.deadline();
        self.0
            .flights
            .join(&call, || self.settle_once(held, &settlement, deadline))
            .await
    }

    async fn settle_once(
        &self,
        held: &ObjectId,
        settlement: &Settlement,
        deadline: Duration,
    ) -> Result<Receipt, CloudError> {
        let log = self.held(held, settlement.kind.settles(), deadline).await?;
        let draft = self.settlement(&log, settlement)?;
        let request_key = draft.intent.request_key.clone();
        let outcome = self
            .execute(self.fresh(draft), Prefetched::new(), deadline)
            .await?;
        outcome.into_receipt(|existing| {
            if request_key.is_some() && existing.intent.request_key == request_key {
                key_reused()
            } else {
                settled_before(existing)
            }
        })
    }

    /// The log of a hold or withdrawal that succeeded. It never changes any more, so a refusal here needs no record of
    /// its own: no request still under way can get past it.
    async fn held(&self, id: &ObjectId, kind: Kind, deadline: Duration) -> Result<Log, CloudError> {
        let what = if kind == Kind::Hold { "hold" } else { "withdrawal" };
        let target = Target::new(&self.0.names.log_class, id);
        let document = self.read(&target, deadline).await?;
        let log = self.log_of(&document.ok_or_else(|| no_such(what))?)?;
        if log.intent.kind != kind {
            return Err(no_such(what));
        }
        let log = self.decided(log, deadline).await?;
        if log.failed() {
            let text = format!("Not payable in this state: the {what} was refused.");
            return Err(CloudError::new(ErrorCode::NOT_PAYABLE, text));
        }
        Ok(log)
    }

    /// The log of a settlement of `held`, or of its refusal.
    fn settlement(&self, held: &Log, settlement: &Settlement) -> Result<NewPayment, CloudError> {
        let owner = &held.intent.user;
        let whole = held.intent.amount.ok_or_else(|| malformed(fields::AMOUNT))?;
        let amount = settlement.amount.unwrap_or(whole);
        let mut params = Map::from_iter([
            (
                SettlementKind::SETTLED_LOG_PARAM.to_owned(),
                held.id.as_str().into(),
            ),
            (SettlementKind::PARAM.to_owned(), settlement.kind.name().into()),
        ]);
        if settlement.kind == SettlementKind::Captured {
            params.insert("amount".to_owned(), amount.into());
        }
        if let Some(payee) = &settlement.payee {
            params.insert("payee".to_owned(), payee.as_str().into());
        }
        let mut intent = Intent {
            key: settlement_key(&held.id),
            request_key: settlement
                .key
                .as_ref()
                .map(|key| key.of_payment(owner, Kind::Settle)),
            number: None,
            kind: Kind::Settle,
            user: owner.clone(),
            order: None,
            amount: Some(amount),
            params,
            legs: Legs::default(),
        };
        if amount > whole {
            let text = format!("More than what is held: {whole}.");
            return Ok(NewPayment::refused(
                intent,
                Refusal::new(ErrorCode::AMOUNT_EXCEEDS_REST, text),
            ));
        }
        intent.legs = self.settlement_legs(owner, whole, amount, settlement)?;
        Ok(NewPayment::new(intent))
    }

    /// The legs of a settlement: the whole held amount leaves `frozen`; what is not captured or paid out returns to the
    /// spendable balance.
    fn settlement_legs(
        &self,
        owner: &ObjectId,
        whole: Amount,
        amount: Amount,
        settlement: &Settlement,
    ) -> Result<Legs, CloudError> {
        let names = &self.0.names;
        let back = match settlement.kind {
            SettlementKind::Captured => whole.units().checked_sub(amount.units()),
            SettlementKind::PaidOut => Some(0),
            SettlementKind::Released | SettlementKind::Expired | SettlementKind::NotPaidOut => {
                Some(whole.units())
            }
        };
        let back = back
            .and_then(Delta::new)
            .ok_or_else(|| malformed(fields::AMOUNT))?;
        let mut leg = Leg::new(self.user_target(owner)).adding(&names.frozen, whole.debit());
        if back.units() != 0 {
            leg = leg.adding(&names.account, back);
        }
        let mut legs = vec![leg];
        if let Some(payee) = &settlement.payee {
            legs.push(Leg::new(self.user_target(payee)).adding(&names.account, amount.credit()));
        }
        Legs::new(legs).map_err(|error| error.to_cloud_error())
    }
}

/// 9006: it is settled, under another key or in another way. That is final: the log of the settlement is the record.
fn settled_before(existing: &Log) -> CloudError {
    let kind = existing
        .intent
        .params
        .get(SettlementKind::PARAM)
        .and_then(|kind| kind.as_str());
    let text = format!(
        "Not payable in this state: it has ended before ({}).",
        kind.unwrap_or("settled")
    );
    CloudError::new(ErrorCode::NOT_PAYABLE, text)
}

fn malformed(field: &str) -> CloudError {
    ProtocolError::malformed(field, "an integer from 1 to 10^12").to_cloud_error()
}
