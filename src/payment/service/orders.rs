//! Orders: made, paid and cancelled, each by attempts of which only one can succeed.

use futures_util::future;
use serde_json::Map;

use crate::model::value::as_integer;
use crate::model::{CloudError, Document, ErrorCode, Filter, ObjectId, Query, Update, Value};
use crate::payment::driver::Known;
use crate::payment::protocol::effect::{Outcome, Write};
use crate::payment::protocol::leg::{Bound, Leg, Legs, Target};
use crate::payment::protocol::log::{Intent, Log};
use crate::payment::protocol::machine::Draft;
use crate::payment::protocol::order::{self, Order, OrderMark, OrderStatus, Payee};
use crate::payment::service::{CallerKey, Done, OrderReceipt, Payments, Receipt, keys, undecided};
use crate::payment::{Amount, Kind, ProtocolError, Refusal, Rules};

/// Attempts of one order. Each is a log of its own, and is looked up one after the other.
const ATTEMPTS_MAX: u32 = 1000;

/// Attempts to pay one order. Cancelling and expiring it come after all of them, and must come to an end in time. A
/// key that is refused for it never pays: whatever its call could still create has been taken.
const PURCHASES_MAX: u32 = 50;

/// The shortest pause before an order is stored again; doubled each time.
const STORE_PAUSE_MIN: std::time::Duration = std::time::Duration::from_millis(20);
/// The longest such pause.
const STORE_PAUSE_MAX: std::time::Duration = std::time::Duration::from_millis(500);

/// How an attempt came out.
enum Attempted {
    /// It is ours.
    Ours { log: Log, replayed: bool },
    /// Another attempt has decided the order.
    Decided(Log),
}

impl Payments {
    /// Makes an order of a product, at the server's price. Moves no money; its refusals are not recorded.
    ///
    /// **Idempotency**: one order per `key`.
    ///
    /// # Errors
    /// 9001 (amount, quantity, payees), 9003, 9004 (no such product or payee), 9006 (not on sale), 9010.
    pub async fn create_order(
        &self,
        user: &ObjectId,
        product: &ObjectId,
        quantity: Option<&Value>,
        key: &CallerKey,
    ) -> Result<OrderReceipt, CloudError> {
        let quantity = parse_quantity(quantity)?;
        let deadline = self.deadline();
        let key = key.of_order(user);
        let target = Target::new(&self.0.config.product_class, product);
        let (standing, found) =
            future::join(self.order_by_key(&key, deadline), self.read(&target, deadline)).await;
        if let Some(order) = standing? {
            return repeated_order(&order, product, quantity);
        }
        let found = found?.ok_or_else(|| no_such("product"))?;
        let (subject, amount, payees) = self.priced(&found, quantity, deadline).await?;
        let fields = Order::fresh_fields(Update::new(), &self.0.rules, user, &payees)
            .set("key", key.as_str())
            .set("subject", subject)
            .set("product", Rules::pointer(&target.class, product))
            .set("quantity", quantity)
            .set("amount", amount)
            .set("expiresAt", self.expiry().to_date());
        let order = self.store_order(fields, &key, deadline).await?;
        repeated_order(&order, product, quantity)
    }

    fn expiry(&self) -> crate::model::Timestamp {
        let millis = i64::try_from(self.0.config.order_expires.as_millis()).unwrap_or(i64::MAX);
        self.0.environment.now().plus_millis(millis)
    }

    /// Name, amount and payees of `quantity` of a product.
    async fn priced(
        &self,
        product: &Document,
        quantity: u32,
        deadline: std::time::Duration,
    ) -> Result<(String, Amount, Vec<Payee>), CloudError> {
        if product.get("onSale") == Some(&Value::Bool(false)) {
            return Err(CloudError::new(
                ErrorCode::NOT_PAYABLE,
                "This product is not on sale.",
            ));
        }
        let price = Amount::from_value(product.get("price").unwrap_or(&Value::Null))?;
        let amount = price.times(quantity).ok_or_else(too_much)?;
        let unit_payees = order::payees(product.get("payees"))
            .map_err(|error| CloudError::new(ErrorCode::INVALID_AMOUNT, format!("The product: {error}.")))?;
        let sum = unit_payees
            .iter()
            .try_fold(0_i64, |sum, payee| sum.checked_add(payee.amount.units()));
        // A refund has a leg for each, one for the buyer and one for the order.
        let most = Legs::COUNT_MAX.saturating_sub(2);
        if unit_payees.len() > most || sum.is_none_or(|sum| sum > price.units()) {
            let text = "The product's payees get more than its price, or are too many.";
            return Err(CloudError::new(ErrorCode::INVALID_AMOUNT, text));
        }
        let payees = unit_payees
            .into_iter()
            .map(|payee| {
                Ok(Payee {
                    amount: payee.amount.times(quantity).ok_or_else(too_much)?,
                    user: payee.user,
                })
            })
            .collect::<Result<Vec<_>, CloudError>>()?;
        let reads = payees.iter().map(|payee| async move {
            let target = self.user_target(&payee.user);
            self.read(&target, deadline)
                .await?
                .ok_or_else(|| no_such("payee"))
        });
        future::try_join_all(reads).await?;
        let subject = product.text("name").unwrap_or_default().to_owned();
        Ok((subject, amount, payees))
    }

    /// Creates the order, or finds the one that stands under its key.
    async fn store_order(
        &self,
        fields: Update,
        key: &str,
        deadline: std::time::Duration,
    ) -> Result<Order, CloudError> {
        let mut number = self.order_number();
        let mut pause = STORE_PAUSE_MIN;
        // Whether a request without an answer may have made the order, or make it still.
        let mut may_stand = false;
        loop {
            let write = Write::Create {
                class: self.0.rules.order_class.clone(),
                fields: fields.clone().set("number", number.as_str()),
            };
            match self.0.driver.write_before(write, deadline).await {
                Outcome::Applied(answer) => {
                    let mut document = Document::new();
                    let whole = fields.clone().set("number", number.as_str());
                    whole.apply(&mut document)?;
                    document.extend(answer.0);
                    return Order::from_document(&document, &self.0.rules).map_err(|error| malformed(&error));
                }
                Outcome::Rejected(ErrorCode::DUPLICATE_VALUE) => {
                    if let Some(order) = self.order_by_key(key, deadline).await? {
                        return Ok(order);
                    }
                    // The key may not be seen yet, or the number is taken by another order.
                    number = self.order_number();
                }
                Outcome::Rejected(code) if !code.leaves_outcome_unknown() => {
                    if may_stand {
                        return Err(undecided());
                    }
                    return Err(CloudError::new(code, "The store refuses the order."));
                }
                Outcome::NotMatched | Outcome::Rejected(_) | Outcome::Unknown => may_stand = true,
            }
            // Half fixed, half by chance, so that callers that met once do not meet again.
            let [chance] = self.0.environment.random::<1>();
            let paused = pause / 2 + pause.mul_f64(f64::from(chance) / 512.0);
            pause = pause.saturating_mul(2).min(STORE_PAUSE_MAX);
            if self.0.environment.elapsed().saturating_add(paused) >= deadline {
                return Err(undecided());
            }
            self.0.environment.sleep(paused).await;
        }
    }

    /// Sortable by time, and unique by chance; the index decides.
    fn order_number(&self) -> String {
        let now = self.0.environment.now().to_string();
        let time: String = now.chars().filter(char::is_ascii_digit).collect();
        format!("{time}{}", self.0.environment.random_text(8))
    }

    async fn order_by_key(
        &self,
        key: &str,
        deadline: std::time::Duration,
    ) -> Result<Option<Order>, CloudError> {
        let query = Query::new(Filter::all().eq("key", key)).limit(1);
        let class = &self.0.rules.order_class;
        let found = self
            .0
            .driver
            .find(class, &query, deadline)
            .await
            .ok_or_else(undecided)?;
        match found.first() {
            None => Ok(None),
            Some(order) => Order::from_document(order, &self.0.rules)
                .map(Some)
                .map_err(|error| malformed(&error)),
        }
    }

    /// Pays an order from its owner's balance.
    ///
    /// **Atomicity**: either the payment has all its effects or none. **Idempotency**: without a key the order's
    /// first attempt is made or answered; with a key, one attempt per key. A refusal is final for its key.
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
        let asked = format!(
            "pay:{user}:{order}:{}",
            request_key.as_deref().unwrap_or_default()
        );
        // Whoever takes over from a call that was dropped has no more time than it came with.
        let deadline = self.deadline();
        self.0
            .flights
            .join(&asked, || {
                self.pay_order_once(user, order, request_key.clone(), deadline)
            })
            .await
    }

    async fn pay_order_once(
        &self,
        user: &ObjectId,
        order: &ObjectId,
        request_key: Option<String>,
        deadline: std::time::Duration,
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
            return self.paid_before(&order, &purchase, order.status, deadline).await;
        }
        if self.is_expired(&order) {
            let status = self.expire(&order, deadline).await?;
            return self.paid_before(&order, &purchase, status, deadline).await;
        }
        let mut known: Known = vec![(order_target, document)];
        known.extend(user_read?.map(|document| (user_target, document)));
        // Without rules of the app the key is not looked up first: the unique index does that when the log is
        // created. With them a repetition must not be asked about.
        if self.has_policy()
            && let Some(standing) = self.standing(&order, &purchase, deadline).await?
        {
            return Ok(standing);
        }
        let draft = self.judged(purchase).await?;
        match self.attempt(&order, draft, known, deadline).await? {
            Attempted::Ours { log, replayed } => Receipt::answer(&log, replayed),
            Attempted::Decided(log) => Err(decided_status(&log, &self.0.rules).refusal().into()),
        }
    }

    fn owned(&self, document: &Document, user: &ObjectId) -> Result<Order, CloudError> {
        let order = Order::from_document(document, &self.0.rules).map_err(|error| malformed(&error))?;
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
        let rules = &self.0.rules;
        let mut legs = vec![
            Leg::new(self.user_target(&order.user))
                .adding(&rules.account, order.amount.debit())
                .requiring(&rules.account, Bound::at_least(order.amount.units())),
        ];
        for payee in &order.payees {
            legs.push(Leg::new(self.user_target(&payee.user)).adding(&rules.account, payee.amount.credit()));
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

    /// Makes attempts until one is ours or another has decided the order. Attempt n + 1 is made only when n is closed
    /// as failed, so the unique index lets one thing happen to an order at a time.
    async fn attempt(
        &self,
        order: &Order,
        mut draft: Draft,
        mut known: Known,
        deadline: std::time::Duration,
    ) -> Result<Attempted, CloudError> {
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
                .carry_out(payment, std::mem::take(&mut known), deadline)
                .await?
            {
                Done::Finished { log, replayed } => return Ok(Attempted::Ours { log, replayed }),
                Done::Unconfirmable => return Err(undecided()),
                Done::Taken(log) => {
                    if first.request_key.is_some() && log.intent.request_key == first.request_key {
                        return Err(keys::reused());
                    }
                    let log = if log.verdict.is_some() {
                        log
                    } else {
                        self.finish(log, deadline).await?
                    };
                    if !log.failed() {
                        return Ok(Attempted::Decided(log));
                    }
                    if first.kind == Kind::Purchase && first.request_key.is_none() {
                        // Without a key of its own a call is the first attempt, or nothing.
                        let text = "The order was declined before. Pay it with a new 'key'.";
                        return Err(Refusal::new(ErrorCode::NOT_PAYABLE, text).into());
                    }
                }
            }
        }
        let text = "Too many attempts to pay this order. Make a new one.";
        Err(Refusal::new(ErrorCode::NOT_PAYABLE, text).into())
    }

    /// An order that is not pending: answers the payment that stands under the key, or says what the order is. A read
    /// that shows none may be stale, and the caller may have been told of success before: an attempt that is refused
    /// from the beginning asks the unique indexes instead.
    async fn paid_before(
        &self,
        order: &Order,
        purchase: &Intent,
        status: OrderStatus,
        deadline: std::time::Duration,
    ) -> Result<Receipt, CloudError> {
        if let Some(standing) = self.standing(order, purchase, deadline).await? {
            return Ok(standing);
        }
        let draft = Draft::refused(purchase.clone(), status.refusal());
        match self.attempt(order, draft, Known::new(), deadline).await? {
            Attempted::Ours { log, replayed } => Receipt::answer(&log, replayed),
            Attempted::Decided(log) => Err(decided_status(&log, &self.0.rules).refusal().into()),
        }
    }

    /// The payment that stands under the key of a call, brought to its end.
    async fn standing(
        &self,
        order: &Order,
        purchase: &Intent,
        deadline: std::time::Duration,
    ) -> Result<Option<Receipt>, CloudError> {
        let filter = match &purchase.request_key {
            Some(key) => Filter::all().eq("requestKey", key.as_str()),
            None => Filter::all().eq("key", order.attempt_key(1)),
        };
        match self.log_matching(filter, deadline).await? {
            Some(log) if purchase.repeats(&log.intent) => self.replay(log, deadline).await.map(Some),
            Some(_) if purchase.request_key.is_some() => Err(keys::reused()),
            Some(_) | None => Ok(None),
        }
    }

    /// Cancels an order that was not paid.
    ///
    /// **Idempotency**: repeated, it answers the same cancellation.
    ///
    /// # Errors
    /// 9004, 9005, 9006 (paid or expired), 9010, 9011.
    pub async fn cancel_order(&self, user: &ObjectId, order: &ObjectId) -> Result<Receipt, CloudError> {
        let asked = format!("cancel:{user}:{order}");
        let deadline = self.deadline();
        self.0
            .flights
            .join(&asked, || self.cancel_order_once(user, order, deadline))
            .await
    }

    async fn cancel_order_once(
        &self,
        user: &ObjectId,
        order: &ObjectId,
        deadline: std::time::Duration,
    ) -> Result<Receipt, CloudError> {
        let target = self.order_target(order);
        let document = self
            .read(&target, deadline)
            .await?
            .ok_or_else(|| no_such("order"))?;
        let order = self.owned(&document, user)?;
        let cancellation = self.cancellation(&order, OrderStatus::Cancelled)?;
        match order.status {
            // A cancelled order has one attempt that did it: the same call finds it again.
            OrderStatus::Pending | OrderStatus::Cancelled => {
                let known = vec![(target, document)];
                let draft = Draft::new(cancellation);
                match self.attempt(&order, draft, known, deadline).await? {
                    Attempted::Ours { log, replayed } => Receipt::answer(&log, replayed),
                    Attempted::Decided(log) => Err(decided_status(&log, &self.0.rules).refusal().into()),
                }
            }
            OrderStatus::Paid | OrderStatus::Expired | OrderStatus::Refunded => {
                Err(order.status.refusal().into())
            }
        }
    }

    /// Expires an order; answers what it is then.
    pub(in crate::payment) async fn expire(
        &self,
        order: &Order,
        deadline: std::time::Duration,
    ) -> Result<OrderStatus, CloudError> {
        let expiry = self.cancellation(order, OrderStatus::Expired)?;
        let draft = Draft::new(expiry);
        match self.attempt(order, draft, Known::new(), deadline).await? {
            Attempted::Ours { .. } => Ok(OrderStatus::Expired),
            Attempted::Decided(log) => Ok(decided_status(&log, &self.0.rules)),
        }
    }

    /// The one log that a filter on unique keys finds.
    pub(in crate::payment) async fn log_matching(
        &self,
        filter: Filter,
        deadline: std::time::Duration,
    ) -> Result<Option<Log>, CloudError> {
        let query = Query::new(filter).limit(1);
        let class = &self.0.rules.log_class;
        let found = self
            .0
            .driver
            .find(class, &query, deadline)
            .await
            .ok_or_else(undecided)?;
        match found.first() {
            None => Ok(None),
            Some(log) => Log::from_document(log, &self.0.rules)
                .map(Some)
                .map_err(|error| error.to_cloud_error()),
        }
    }
}

/// What an order is after the attempt that decided it.
fn decided_status(log: &Log, rules: &Rules) -> OrderStatus {
    let mark = log.intent.order_mark(rules).ok().flatten();
    mark.map_or(OrderStatus::Paid, OrderMark::status)
}

fn repeated_order(order: &Order, product: &ObjectId, quantity: u32) -> Result<OrderReceipt, CloudError> {
    if order.product.as_ref() != Some(product) || order.quantity != i64::from(quantity) {
        return Err(keys::reused());
    }
    Ok(OrderReceipt::of(order, order.status))
}

fn parse_quantity(value: Option<&Value>) -> Result<u32, CloudError> {
    let Some(value) = value else { return Ok(1) };
    as_integer(value)
        .and_then(|quantity| u32::try_from(quantity).ok())
        .filter(|quantity| *quantity > 0)
        .ok_or_else(|| {
            let text = "'quantity' is an integer of at least 1.";
            CloudError::new(ErrorCode::INVALID_AMOUNT, text)
        })
}

fn too_much() -> CloudError {
    CloudError::new(
        ErrorCode::INVALID_AMOUNT,
        "The price times the quantity is beyond 1000000000000.",
    )
}

pub(in crate::payment) fn no_such(what: &str) -> CloudError {
    CloudError::new(ErrorCode::NO_SUCH_PAYMENT, format!("There is no such {what}."))
}

fn malformed(error: &ProtocolError) -> CloudError {
    CloudError::other(format!("The stored order cannot be used: {error}.")).with_status(500)
}
