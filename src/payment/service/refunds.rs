//! Refunds: a purchase is given back, in part or in full, by the payees that it credited.
//!
//! The refunds of an order are numbered, like its attempts: their key is `refund:<number>:<n>`, with the caller's key
//! beside it. A refund begins only when those before it are decided. So each knows exactly how much went back before
//! it, and the shares of a payee add up to what the sale gave it, to the last fen, however the refunds are cut.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future;
use serde_json::Map;

use crate::model::{CloudError, ErrorCode, ObjectId, Query, Value};
use crate::payment::driver::Prefetched;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::leg::{Bound, Leg, Legs};
use crate::payment::protocol::log::{Log, fields};
use crate::payment::protocol::machine::NewPayment;
use crate::payment::protocol::order::{Order, OrderMark};
use crate::payment::protocol::target::Target;
use crate::payment::service::errors::{key_reused, no_such, undecided};
use crate::payment::service::execution::RunOutcome;
use crate::payment::service::idempotency::{keys_with_prefix, refund_key};
use crate::payment::service::parameters::check_text;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Amount, Delta, Kind, ProtocolError, Refusal};

/// The most refunds of one order that may begin, refused ones included. They are read together, in one page.
const REFUNDS_MAX: u32 = 500;

/// A requested refund.
#[derive(Clone, Debug)]
struct Refund {
    order: Order,
    /// `None` for all that is left.
    amount: Option<Amount>,
    reason: Option<String>,
    request_key: String,
}

impl PaymentService {
    /// Gives back `amount` of the price of an order, or all that is left if `amount` is `None`. The payees of the sale
    /// give their shares first; the app gives the rest. After each refund every payee has given back its proportion in
    /// whole fen, and after the last one exactly what it got.
    ///
    /// **Atomicity**: the buyer, the payees and the order, or none. **Idempotency**: one refund per `key`; a refusal
    /// is final for it.
    ///
    /// # Errors
    /// 107 (reason), 9001, 9002 (a payee has spent it), 9003, 9004 (no such order), 9006 (nothing was paid), 9009 (more
    /// than what is left), 9010, 9011.
    pub async fn refund_order(
        &self,
        order: &ObjectId,
        amount: Option<&Value>,
        reason: Option<&str>,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        let amount = amount.map(Amount::from_value).transpose()?;
        reason.map(|reason| check_text("reason", reason)).transpose()?;
        let call = format!("refund:{order}:{amount:?}:{reason:?}:{key:?}");
        let deadline = self.deadline();
        let once = async || {
            let document = self.read(&self.order_target(order), deadline).await?;
            let document = document.ok_or_else(|| no_such("order"))?;
            let order =
                Order::from_document(&document, &self.0.names).map_err(|error| error.to_cloud_error())?;
            let refund = Refund {
                request_key: key.of_payment(&order.user, Kind::Refund),
                order,
                amount,
                reason: reason.map(ToOwned::to_owned),
            };
            self.refund_once(&refund, deadline).await
        };
        self.0.flights.join(&call, once).await
    }

    async fn refund_once(&self, refund: &Refund, deadline: Duration) -> Result<Receipt, CloudError> {
        let number = &refund.order.number;
        let (sale, begun) =
            future::join(self.sale(number, deadline), self.refunds_of(number, deadline)).await;
        let (sale, mut begun) = (sale?, begun?);
        let mut refunded = 0_i64;
        for n in 1..=REFUNDS_MAX {
            if self.0.environment.elapsed() >= deadline {
                return Err(undecided());
            }
            let key = refund_key(number, n);
            let before = match begun.remove(&key) {
                Some(before) => before,
                None => {
                    let draft = self.refund(refund, sale.as_ref(), key, refunded)?;
                    let made = self.execute(self.fresh(draft), Prefetched::new(), deadline);
                    match made.await? {
                        RunOutcome::Finished { log, replayed } => return Receipt::result(&log, replayed),
                        RunOutcome::Taken(log)
                            if log.intent.request_key.as_ref() == Some(&refund.request_key) =>
                        {
                            return Err(key_reused());
                        }
                        RunOutcome::Taken(log) => log,
                        RunOutcome::Unconfirmable => return Err(undecided()),
                    }
                }
            };
            let before = self.decided(before, deadline).await?;
            if !before.failed() {
                let amount = before.intent.amount.map_or(0, Amount::units);
                refunded = refunded.checked_add(amount).ok_or_else(too_much)?;
            }
        }
        let text = "Too many refunds of this order. Give the rest back with an adjustment.";
        Err(Refusal::new(ErrorCode::NOT_PAYABLE, text).into())
    }

    /// The attempt that paid the order. The log decides this, not the order.
    async fn sale(&self, number: &str, deadline: Duration) -> Result<Option<Log>, CloudError> {
        let filter = keys_with_prefix(&format!("order:{number}"))
            .eq(fields::KIND, Kind::Purchase.name())
            .ne(fields::OUTCOME, "failed");
        let Some(log) = self.find_log(filter, deadline).await? else {
            return Ok(None);
        };
        let log = self.decided(log, deadline).await?;
        Ok((!log.failed()).then_some(log))
    }

    /// The refunds of an order that have begun, by key.
    async fn refunds_of(
        &self,
        number: &str,
        deadline: Duration,
    ) -> Result<BTreeMap<String, Log>, CloudError> {
        let query = Query::new(keys_with_prefix(&format!("refund:{number}"))).limit(Query::LIMIT_MAX);
        let logs = self.find_logs(&query, deadline).await?;
        Ok(logs
            .into_iter()
            .map(|log| (log.intent.key.clone(), log))
            .collect())
    }

    /// The log of a refund, or of its refusal, after `refunded` fen went back before.
    fn refund(
        &self,
        refund: &Refund,
        sale: Option<&Log>,
        key: String,
        refunded: i64,
    ) -> Result<NewPayment, CloudError> {
        let order = &refund.order;
        let mut params = Map::from_iter([("order".to_owned(), order.id.as_str().into())]);
        if let Some(amount) = refund.amount {
            params.insert("amount".to_owned(), amount.into());
        }
        if let Some(reason) = &refund.reason {
            params.insert("reason".to_owned(), reason.as_str().into());
        }
        let mut intent = Intent {
            key,
            request_key: Some(refund.request_key.clone()),
            number: None,
            kind: Kind::Refund,
            user: order.user.clone(),
            order: Some(order.id.clone()),
            amount: refund.amount,
            params,
            legs: Legs::default(),
        };
        let Some((sale, total)) = sale.and_then(|sale| Some((sale, sale.intent.amount?))) else {
            let text = format!(
                "Not refundable in this state: nothing was paid, the order is {}.",
                order.status
            );
            return Ok(NewPayment::refused(
                intent,
                Refusal::new(ErrorCode::NOT_PAYABLE, text),
            ));
        };
        let rest = total.units().checked_sub(refunded).and_then(Amount::new);
        let Some(amount) = refund.amount.or(rest).filter(|amount| Some(*amount) <= rest) else {
            let text = format!(
                "More than what is left of the order: {}.",
                rest.map_or(0, Amount::units)
            );
            let refusal = Refusal::new(ErrorCode::AMOUNT_EXCEEDS_REST, text);
            return Ok(NewPayment::refused(intent, refusal));
        };
        intent.amount = Some(amount);
        intent.legs = self.refund_legs(sale, total, amount, refunded)?;
        Ok(NewPayment::new(intent))
    }

    /// The legs of a refund: the payees first, then the order as the last leg that may be refused, then the buyer.
    fn refund_legs(
        &self,
        sale: &Log,
        total: Amount,
        amount: Amount,
        refunded: i64,
    ) -> Result<Legs, CloudError> {
        let names = &self.0.names;
        let buyer = self.user_target(&sale.intent.user);
        let after = refunded.checked_add(amount.units()).ok_or_else(too_much)?;
        let credited = self.credited(sale, &buyer, total);
        let parts: Vec<Amount> = credited.iter().map(|(_, part)| *part).collect();
        let before = cumulative_shares(&parts, refunded, total).ok_or_else(too_much)?;
        let after = cumulative_shares(&parts, after, total).ok_or_else(too_much)?;
        let mut legs = Vec::new();
        for ((payee, _), (after, before)) in credited.into_iter().zip(after.into_iter().zip(before)) {
            let share = after.checked_sub(before).ok_or_else(too_much)?;
            if let Some(share) = Amount::new(share) {
                legs.push(
                    Leg::new(payee)
                        .adding(&names.account, share.debit())
                        .requiring(&names.account, Bound::at_least(share.units())),
                );
            }
        }
        let most = total.units().checked_sub(amount.units()).ok_or_else(too_much)?;
        let order = sale.intent.order.as_ref();
        let order =
            order.ok_or_else(|| ProtocolError::malformed(fields::ORDER, "a pointer").to_cloud_error())?;
        legs.push(
            Leg::new(self.order_target(order))
                .adding(OrderMark::REFUNDED, amount.credit())
                .requiring(OrderMark::REFUNDED, Bound::at_most(most)),
        );
        legs.push(Leg::new(buyer).adding(&names.account, amount.credit()));
        Legs::new(legs).map_err(|error| error.to_cloud_error())
    }

    /// The users whom the sale credited, with the amounts. If the buyer is a payee too, its share is part of what the sale
    /// took from it.
    fn credited(&self, sale: &Log, buyer: &Target, total: Amount) -> Vec<(Target, Amount)> {
        let names = &self.0.names;
        let legs = sale.intent.legs.as_slice().iter();
        legs.filter(|leg| leg.target.class == names.user_class)
            .filter_map(|leg| {
                let added = leg.add.get(&names.account).copied().map_or(0, Delta::units);
                let part = if leg.target == *buyer {
                    total.units().checked_add(added)?
                } else {
                    added
                };
                Some((leg.target.clone(), Amount::new(part)?))
            })
            .collect()
    }
}

/// The sum that each payee has given back once `refunded` of `total` went back: one payee after the other gives its
/// proportion of what is left, rounded down. So no share is ever negative, the payees together never give more than
/// goes back, and each has given exactly what it got once everything went back.
fn cumulative_shares(parts: &[Amount], refunded: i64, total: Amount) -> Option<Vec<i64>> {
    let (mut left, mut whole) = (refunded, total.units());
    let mut given = Vec::with_capacity(parts.len());
    for part in parts {
        let product = i128::from(part.units()).checked_mul(i128::from(left))?;
        let share = i64::try_from(product.checked_div(i128::from(whole))?).ok()?;
        given.push(share);
        left = left.checked_sub(share)?;
        whole = whole.checked_sub(part.units())?;
    }
    Some(given)
}

fn too_much() -> CloudError {
    ProtocolError::Overflow.to_cloud_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payee_shares_add_up_to_the_sale() {
        let amount = |units| Amount::new(units).unwrap();
        for (total, parts) in [
            (7, vec![3]),
            (101, vec![67, 3]),
            (100, vec![1; 62]),
            (100, vec![33, 33, 34]),
            (1, vec![1]),
            (1_000_000_000_000, vec![999_999_999_998, 1]),
        ] {
            let parts: Vec<Amount> = parts.into_iter().map(amount).collect();
            for step in [1, 2, 3, total / 2 + 1, total]
                .into_iter()
                .filter(|step| total / step <= 1000)
            {
                let mut refunded = 0;
                let mut before = cumulative_shares(&parts, 0, amount(total)).unwrap();
                while refunded < total {
                    let back = step.min(total - refunded);
                    refunded += back;
                    let after = cumulative_shares(&parts, refunded, amount(total)).unwrap();
                    let shares = after.iter().zip(&before).map(|(after, before)| after - before);
                    assert!(
                        shares.clone().all(|share| share >= 0),
                        "{total} by {step}: {after:?}"
                    );
                    assert!(shares.sum::<i64>() <= back, "{total} by {step}: {after:?}");
                    for (part, given) in parts.iter().zip(&after) {
                        let off = i128::from(part.units()) * i128::from(refunded)
                            - i128::from(*given) * i128::from(total);
                        assert!(off.abs() < 5 * i128::from(total), "{total} by {step}: {after:?}");
                    }
                    before = after;
                }
                let all: Vec<i64> = parts.iter().map(|part| part.units()).collect();
                assert_eq!(before, all, "{total} by {step}");
            }
        }
    }
}
