//! Purchases: an order is paid, cancelled or expired by attempts, of which only one can succeed.

use std::time::Duration;

use futures_util::future;
use serde_json::Map;

use crate::model::{CloudError, Document, ErrorCode, Filter, ObjectId};
use crate::payment::driver::Prefetched;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::leg::{Bound, Leg, Legs};
use crate::payment::protocol::log::{Log, fields};
use crate::payment::protocol::machine::NewPayment;
use crate::payment::protocol::order::{Order, OrderMark, OrderStatus};
use crate::payment::service::errors::{key_reused, no_such, undecided};
use crate::payment::service::execution::RunOutcome;
use crate::payment::service::orders::malformed;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Kind, Refusal, SchemaNames};

/// The most attempts of one order, cancelling and expiring included. Each is a log of its own, looked up one after the
/// other.
const ATTEMPTS_MAX: u32 = 1000;

/// The most attempts to pay one order. An attempt to cancel or expire it comes after all of them, and must finish in
/// time. A key that is refused by this bound never pays: every attempt that its call could still create exists.
const PURCHASES_MAX: u32 = 50;

impl PaymentService {
    /// Pays an order from its owner's balance.
    ///
    /// **Atomicity**: the payment has all its effects or none. **Idempotency**: without a key, the order's first attempt
    /// is made or its result returned; with a key, one attempt per key. A refusal is final for its key.
    ///
    /// # Errors
    /// 9002, 9003, 9004, 9005, 9006, 9007, 9010, 9011.
    pub async fn pay_order(
        &self,
        user: &ObjectId,
        order: &ObjectId,
        key: Option<&CallerKey>,
    ) -> Result<Receipt, CloudError> {
        let request_key = key.map(|key| key.of_payment(user, Kind::Purchase));
        let call = format!(
            "pay:{user}:{order}:{}",
            request_key.as_deref().unwrap_or_default()
        );
        // A call that takes over from a dropped one has no more time than it came with.
        let deadline = self.deadline();
        self.0
            .flights
            .join(&call, || {
                self.pay_order_once(user, order, request_key.clone(), deadline)
            })
            .await
    }

    async fn pay_order_once(
        &self,
        user: &ObjectId,
        order: &ObjectId,
        request_key: Option<String>,
        deadline: Duration,
    ) -> Result<Receipt, CloudError> {
        let (order_target, user_target) = (self.order_target(order), self.user_target(user));
        let (order_read, user_read) = future::join(
            self.read(&order_target, deadline),
            self.read(&user_target, deadline),
        )
        .await;
        let document = order_read?.ok_or_else(|| no_such("order"))?;
        let order = self.owned(&document, user)?;
        let purchase = self.purchase(&order, request_key)?;
        if order.status != OrderStatus::Pending {
            return self
                .result_if_not_pending(&order, &purchase, order.status, deadline)
                .await;
        }
        if self.is_expired(&order) {
            let status = self.expire(&order, deadline).await?;
            return self
                .result_if_not_pending(&order, &purchase, status, deadline)
                .await;
        }
        let mut prefetched: Prefetched = vec![(order_target, document)];
        prefetched.extend(user_read?.map(|document| (user_target, document)));
        // Without a policy the unique index finds an existing key when the log is created. With one, a repetition must
        // be found before, as the policy must not be asked about it again.
        if self.has_policy()
            && let Some(existing) = self.existing(&order, &purchase, deadline).await?
        {
            return Ok(existing);
        }
        let draft = self.ask_policy(purchase).await?;
        self.attempt_receipt(&order, draft, prefetched, deadline).await
    }

    fn owned(&self, document: &Document, user: &ObjectId) -> Result<Order, CloudError> {
        let order = Order::from_document(document, &self.0.names).map_err(|error| malformed(&error))?;
        if order.user != *user {
            return Err(CloudError::new(ErrorCode::NOT_YOURS, "This order is not yours."));
        }
        Ok(order)
    }

    fn is_expired(&self, order: &Order) -> bool {
        order
            .expires_at
            .is_some_and(|time| time <= self.0.environment.now())
    }

    /// The first attempt to pay an order; the others differ in their key alone.
    fn purchase(&self, order: &Order, request_key: Option<String>) -> Result<Intent, CloudError> {
        let names = &self.0.names;
        let mut legs = vec![
            Leg::new(self.user_target(&order.user))
                .adding(&names.account, order.amount.debit())
                .requiring(&names.account, Bound::at_least(order.amount.units())),
        ];
        for payee in &order.payees {
            legs.push(Leg::new(self.user_target(&payee.user)).adding(&names.account, payee.amount.credit()));
        }
        Ok(Intent {
            key: order.attempt_key(1),
            request_key,
            number: None,
            kind: Kind::Purchase,
            user: order.user.clone(),
            order: Some(order.id.clone()),
            amount: Some(order.amount),
            params: Map::from_iter([("order".to_owned(), order.id.as_str().into())]),
            legs: Legs::new(legs).map_err(|error| malformed(&error))?,
        })
    }

    /// The first attempt to cancel or expire an order: one leg on it that adds nothing.
    fn cancellation(&self, order: &Order, to: OrderStatus) -> Result<Intent, CloudError> {
        let leg = Leg::new(self.order_target(&order.id));
        Ok(Intent {
            key: order.attempt_key(1),
            request_key: None,
            number: None,
            kind: Kind::Cancel,
            user: order.user.clone(),
            order: Some(order.id.clone()),
            amount: Some(order.amount),
            params: Map::from_iter([
                ("order".to_owned(), order.id.as_str().into()),
                (OrderMark::CANCEL_TO.to_owned(), to.name().into()),
            ]),
            legs: Legs::new(vec![leg]).map_err(|error| malformed(&error))?,
        })
    }

    /// As [`PaymentService::attempt`]; returns the receipt, or the refusal that follows from how the order was decided.
    async fn attempt_receipt(
        &self,
        order: &Order,
        draft: NewPayment,
        prefetched: Prefetched,
        deadline: Duration,
    ) -> Result<Receipt, CloudError> {
        let outcome = self.attempt(order, draft, prefetched, deadline).await?;
        outcome.into_receipt(|log| decided_status(log, &self.0.names).refusal().into())
    }

    /// Makes attempts until one belongs to this call, or another has decided the order ([`RunOutcome::Taken`]). Attempt
    /// n + 1 is made only when n is closed as failed, so the unique index allows one attempt at a time.
    async fn attempt(
        &self,
        order: &Order,
        mut draft: NewPayment,
        mut prefetched: Prefetched,
        deadline: Duration,
    ) -> Result<RunOutcome, CloudError> {
        let first = draft.intent.clone();
        let most = if first.kind == Kind::Purchase {
            PURCHASES_MAX
        } else {
            ATTEMPTS_MAX
        };
        for n in 1..=most {
            if self.0.environment.elapsed() >= deadline {
                return Err(undecided());
            }
            draft.intent.key = order.attempt_key(n);
            let payment = self.fresh(draft.clone());
            match self
                .execute(payment, std::mem::take(&mut prefetched), deadline)
                .await?
            {
                outcome @ (RunOutcome::Finished { .. } | RunOutcome::Unconfirmable) => return Ok(outcome),
                RunOutcome::Taken(log) => {
                    if first.request_key.is_some() && log.intent.request_key == first.request_key {
                        return Err(key_reused());
                    }
                    let log = self.decided(log, deadline).await?;
                    if !log.failed() {
                        return Ok(RunOutcome::Taken(log));
                    }
                    if first.kind == Kind::Purchase && first.request_key.is_none() {
                        // A call without a key is the first attempt, or nothing.
                        let text = "The order was declined before. Pay it with a new 'key'.";
                        return Err(Refusal::new(ErrorCode::NOT_PAYABLE, text).into());
                    }
                }
            }
        }
        let text = "Too many attempts to pay this order. Make a new one.";
        Err(Refusal::new(ErrorCode::NOT_PAYABLE, text).into())
    }

    /// The result for an order that is not pending: that of the existing payment with the same key, or a refusal. A read
    /// that shows no such payment may be stale, and the caller may have been told of success before: so an attempt that
    /// is refused from the beginning asks the unique indexes.
    async fn result_if_not_pending(
        &self,
        order: &Order,
        purchase: &Intent,
        status: OrderStatus,
        deadline: Duration,
    ) -> Result<Receipt, CloudError> {
        if let Some(existing) = self.existing(order, purchase, deadline).await? {
            return Ok(existing);
        }
        let draft = NewPayment::refused(purchase.clone(), status.refusal());
        self.attempt_receipt(order, draft, Prefetched::new(), deadline)
            .await
    }

    /// The existing payment with the key of a call, brought to its end.
    async fn existing(
        &self,
        order: &Order,
        purchase: &Intent,
        deadline: Duration,
    ) -> Result<Option<Receipt>, CloudError> {
        let filter = match &purchase.request_key {
            Some(key) => Filter::all().eq(fields::REQUEST_KEY, key.as_str()),
            None => Filter::all().eq(fields::KEY, order.attempt_key(1)),
        };
        match self.find_log(filter, deadline).await? {
            Some(log) if purchase.repeats(&log.intent) => self.replay(log, deadline).await.map(Some),
            Some(_) if purchase.request_key.is_some() => Err(key_reused()),
            Some(_) | None => Ok(None),
        }
    }

    /// Cancels an order that was not paid.
    ///
    /// **Idempotency**: a repeated call returns the same cancellation.
    ///
    /// # Errors
    /// 9004, 9005, 9006 (paid or expired), 9010, 9011.
    pub async fn cancel_order(&self, user: &ObjectId, order: &ObjectId) -> Result<Receipt, CloudError> {
        let call = format!("cancel:{user}:{order}");
        let deadline = self.deadline();
        self.0
            .flights
            .join(&call, || self.cancel_order_once(user, order, deadline))
            .await
    }

    async fn cancel_order_once(
        &self,
        user: &ObjectId,
        order: &ObjectId,
        deadline: Duration,
    ) -> Result<Receipt, CloudError> {
        let target = self.order_target(order);
        let document = self
            .read(&target, deadline)
            .await?
            .ok_or_else(|| no_such("order"))?;
        let order = self.owned(&document, user)?;
        let cancellation = self.cancellation(&order, OrderStatus::Cancelled)?;
        match order.status {
            // A cancelled order has one attempt that cancelled it: the same call finds it again.
            OrderStatus::Pending | OrderStatus::Cancelled => {
                let prefetched = vec![(target, document)];
                let draft = NewPayment::new(cancellation);
                self.attempt_receipt(&order, draft, prefetched, deadline).await
            }
            OrderStatus::Paid | OrderStatus::Expired | OrderStatus::Refunded => {
                Err(order.status.refusal().into())
            }
        }
    }

    /// Expires an order; returns its status then.
    pub(in crate::payment) async fn expire(
        &self,
        order: &Order,
        deadline: Duration,
    ) -> Result<OrderStatus, CloudError> {
        let expiry = self.cancellation(order, OrderStatus::Expired)?;
        let draft = NewPayment::new(expiry);
        match self.attempt(order, draft, Prefetched::new(), deadline).await? {
            RunOutcome::Finished { .. } => Ok(OrderStatus::Expired),
            RunOutcome::Taken(log) => Ok(decided_status(&log, &self.0.names)),
            RunOutcome::Unconfirmable => Err(undecided()),
        }
    }
}

/// The status of an order after the attempt that decided it.
fn decided_status(log: &Log, names: &SchemaNames) -> OrderStatus {
    let mark = log.intent.order_mark(names).ok().flatten();
    mark.map_or(OrderStatus::Paid, OrderMark::status)
}
