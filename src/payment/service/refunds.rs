//! Refunds: what a purchase took goes back, in part or in full, from those whom the sale credited.
//!
//! Refunds of one order are numbered, as its attempts are: `refund:<number>:<n>` is their key, and the caller's key
//! stands beside it. One is made only when those before it are decided, so each knows exactly how much went back before it,
//! and the parts of the payees sum up to what the sale gave them, to the last fen, however the refunds are cut.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future;
use serde_json::Map;

use crate::model::{CloudError, ErrorCode, ObjectId, Query, Value};
use crate::payment::driver::Known;
use crate::payment::protocol::leg::{Bound, Leg, Legs, Target};
use crate::payment::protocol::log::{Intent, Log};
use crate::payment::protocol::machine::Draft;
use crate::payment::protocol::order::Order;
use crate::payment::service::orders::no_such;
use crate::payment::service::parameters::check_text;
use crate::payment::service::{CallerKey, Done, Payments, Receipt, keys, undecided};
use crate::payment::{Amount, Delta, Kind, ProtocolError, Refusal};

/// Refunds of one order that have begun. They are looked up together, in one page.
const REFUNDS_MAX: u32 = 500;

/// A refund that is asked for.
#[derive(Clone, Debug)]
struct Refund {
    order: Order,
    /// `None` for all that is left.
    amount: Option<Amount>,
    reason: Option<String>,
    request_key: String,
}

impl Payments {
    /// Gives back `amount` of what was paid for an order; all that is left where it is `None`. Those whom the sale
    /// credited give their part first; what they did not get is the app's to give. Each has given back its proportion
    /// of what has gone back, in whole fen, and exactly what it got once all has.
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
        let asked = format!("refund:{order}:{amount:?}:{reason:?}:{key:?}");
        let deadline = self.deadline();
        let once = async || {
            let document = self.read(&self.order_target(order), deadline).await?;
            let document = document.ok_or_else(|| no_such("order"))?;
            let order =
                Order::from_document(&document, &self.0.rules).map_err(|error| error.to_cloud_error())?;
            let refund = Refund {
                request_key: key.of_payment(&order.user, Kind::Refund),
                order,
                amount,
                reason: reason.map(ToOwned::to_owned),
            };
            self.refund_once(&refund, deadline).await
        };
        self.0.flights.join(&asked, once).await
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
            let key = keys::of_refund(number, n);
            let before = match begun.remove(&key) {
                Some(before) => before,
                None => {
                    let draft = self.refund(refund, sale.as_ref(), key, refunded)?;
                    let made = self.carry_out(self.fresh(draft), Known::new(), deadline);
                    match made.await? {
                        Done::Finished { log, replayed } => return Receipt::answer(&log, replayed),
                        Done::Taken(log) if log.intent.request_key.as_ref() == Some(&refund.request_key) => {
                            return Err(keys::reused());
                        }
                        Done::Taken(log) => log,
                        Done::Unconfirmable => return Err(undecided()),
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

    /// The attempt that has paid the order. The log says so, not the order.
    async fn sale(&self, number: &str, deadline: Duration) -> Result<Option<Log>, CloudError> {
        let filter = keys::between(&format!("order:{number}"))
            .eq("kind", Kind::Purchase.name())
            .ne("outcome", "failed");
        let Some(log) = self.log_matching(filter, deadline).await? else {
            return Ok(None);
        };
        let log = self.decided(log, deadline).await?;
        Ok((!log.failed()).then_some(log))
    }

    /// The refunds of an order that have begun, by their keys.
    async fn refunds_of(
        &self,
        number: &str,
        deadline: Duration,
    ) -> Result<BTreeMap<String, Log>, CloudError> {
        let query = Query::new(keys::between(&format!("refund:{number}"))).limit(Query::LIMIT_MAX);
        let class = &self.0.rules.log_class;
        let found = self.0.driver.find(class, &query, deadline).await;
        let logs = found.ok_or_else(undecided)?;
        let mut refunds = BTreeMap::new();
        for document in &logs {
            let log = Log::from_document(document, &self.0.rules).map_err(|error| error.to_cloud_error())?;
            refunds.insert(log.intent.key.clone(), log);
        }
        Ok(refunds)
    }

    async fn decided(&self, log: Log, deadline: Duration) -> Result<Log, CloudError> {
        if log.verdict.is_some() {
            return Ok(log);
        }
        self.finish(log, deadline).await
    }

    /// The log of a refund, or of its refusal, where `refunded` went back before.
    fn refund(
        &self,
        refund: &Refund,
        sale: Option<&Log>,
        key: String,
        refunded: i64,
    ) -> Result<Draft, CloudError> {
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
            return Ok(Draft::refused(intent, Refusal::new(ErrorCode::NOT_PAYABLE, text)));
        };
        let rest = total.units().checked_sub(refunded).and_then(Amount::new);
        let Some(amount) = refund.amount.or(rest).filter(|amount| Some(*amount) <= rest) else {
            let text = format!(
                "More than what is left of the order: {}.",
                rest.map_or(0, Amount::units)
            );
            let refusal = Refusal::new(ErrorCode::AMOUNT_EXCEEDS_REST, text);
            return Ok(Draft::refused(intent, refusal));
        };
        intent.amount = Some(amount);
        intent.legs = self.giving_back(sale, total, amount, refunded)?;
        Ok(Draft::new(intent))
    }

    /// The payees first, the order last of what may be refused, the buyer then.
    fn giving_back(
        &self,
        sale: &Log,
        total: Amount,
        amount: Amount,
        refunded: i64,
    ) -> Result<Legs, CloudError> {
        let rules = &self.0.rules;
        let buyer = self.user_target(&sale.intent.user);
        let after = refunded.checked_add(amount.units()).ok_or_else(too_much)?;
        let credited = self.credited(sale, &buyer, total);
        let parts: Vec<Amount> = credited.iter().map(|(_, part)| *part).collect();
        let before = given_back(&parts, refunded, total).ok_or_else(too_much)?;
        let after = given_back(&parts, after, total).ok_or_else(too_much)?;
        let mut legs = Vec::new();
        for ((payee, _), (after, before)) in credited.into_iter().zip(after.into_iter().zip(before)) {
            let share = after.checked_sub(before).ok_or_else(too_much)?;
            if let Some(share) = Amount::new(share) {
                legs.push(
                    Leg::new(payee)
                        .adding(&rules.account, share.debit())
                        .requiring(&rules.account, Bound::at_least(share.units())),
                );
            }
        }
        let most = total.units().checked_sub(amount.units()).ok_or_else(too_much)?;
        let order = sale.intent.order.as_ref();
        let order = order.ok_or_else(|| ProtocolError::malformed("order", "a pointer").to_cloud_error())?;
        legs.push(
            Leg::new(self.order_target(order))
                .adding("refunded", amount.credit())
                .requiring("refunded", Bound::at_most(most)),
        );
        legs.push(Leg::new(buyer).adding(&rules.account, amount.credit()));
        Legs::new(legs).map_err(|error| error.to_cloud_error())
    }

    /// Whom the sale credited with how much. The buyer's own part, where there is one, is hidden in what was taken.
    fn credited(&self, sale: &Log, buyer: &Target, total: Amount) -> Vec<(Target, Amount)> {
        let rules = &self.0.rules;
        let legs = sale.intent.legs.as_slice().iter();
        legs.filter(|leg| leg.target.class == rules.user_class)
            .filter_map(|leg| {
                let added = leg.add.get(&rules.account).copied().map_or(0, Delta::units);
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

/// What each payee has given back once `refunded` of `total` went back: one after the other its proportion of what is
/// left to give, rounded down. So nobody ever gets back what they gave, all of them together never give more than what
/// goes back, and everyone has given exactly what they got once all of it has.
fn given_back(parts: &[Amount], refunded: i64, total: Amount) -> Option<Vec<i64>> {
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
    fn the_parts_of_the_payees_sum_up_to_all() {
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
                let mut before = given_back(&parts, 0, amount(total)).unwrap();
                while refunded < total {
                    let back = step.min(total - refunded);
                    refunded += back;
                    let after = given_back(&parts, refunded, amount(total)).unwrap();
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
