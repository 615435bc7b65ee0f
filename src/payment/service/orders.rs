//! Orders: created from a product at the server's price. [`purchases`](super::purchases) pays and cancels them.

use std::time::Duration;

use futures_util::future;

use crate::environment::Backoff;
use crate::model::value::as_integer;
use crate::model::write::Write;
use crate::model::{CloudError, Document, ErrorCode, Filter, ObjectId, Query, Update, Value};
use crate::payment::protocol::effect::Outcome;
use crate::payment::protocol::leg::Legs;
use crate::payment::protocol::order::{self, Order, Payee};
use crate::payment::protocol::target::Target;
use crate::payment::service::errors::{key_reused, no_such, undecided};
use crate::payment::service::{CallerKey, OrderReceipt, PaymentService};
use crate::payment::{Amount, ProtocolError, SchemaNames};

/// Pauses before an order without an answer is stored again.
const STORE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));

impl PaymentService {
    /// Creates an order for a product, at the server's price. Moves no money; refusals are not recorded.
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
        let (existing, found) =
            future::join(self.order_by_key(&key, deadline), self.read(&target, deadline)).await;
        if let Some(order) = existing? {
            return repeated_order(&order, product, quantity);
        }
        let found = found?.ok_or_else(|| no_such("product"))?;
        let (subject, amount, payees) = self.priced(&found, quantity, deadline).await?;
        let fields = Order::fresh_fields(Update::new(), &self.0.names, user, &payees)
            .set("key", key.as_str())
            .set("subject", subject)
            .set("product", SchemaNames::pointer(&target.class, product))
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

    /// Name, price and payees of `quantity` of a product.
    async fn priced(
        &self,
        product: &Document,
        quantity: u32,
        deadline: Duration,
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

    /// Creates the order, or returns the existing order with the same key.
    async fn store_order(&self, fields: Update, key: &str, deadline: Duration) -> Result<Order, CloudError> {
        let mut number = self.order_number();
        // True if an unanswered request may have created the order, or may still create it.
        let mut may_exist = false;
        let mut tries = 0;
        loop {
            let write = Write::create(
                &self.0.names.order_class,
                fields.clone().set("number", number.as_str()),
            );
            match self.0.driver.write_before(write, deadline).await {
                Outcome::Applied(answer) => {
                    let mut document = Document::new();
                    let whole = fields.clone().set("number", number.as_str());
                    whole.apply(&mut document)?;
                    document.extend(answer.0);
                    return Order::from_document(&document, &self.0.names).map_err(|error| malformed(&error));
                }
                Outcome::Rejected(ErrorCode::DUPLICATE_VALUE) => {
                    if let Some(order) = self.order_by_key(key, deadline).await? {
                        return Ok(order);
                    }
                    // The key may not be seen yet, or the number is taken by another order.
                    number = self.order_number();
                }
                Outcome::Rejected(code) if !code.leaves_outcome_unknown() => {
                    if may_exist {
                        return Err(undecided());
                    }
                    return Err(CloudError::new(code, "The store refuses the order."));
                }
                Outcome::NotMatched | Outcome::Rejected(_) | Outcome::Unknown => may_exist = true,
            }
            let pause = STORE_BACKOFF.jittered(tries, &self.0.environment);
            tries = tries.saturating_add(1);
            if self.0.environment.elapsed().saturating_add(pause) >= deadline {
                return Err(undecided());
            }
            self.0.environment.sleep(pause).await;
        }
    }

    /// A new order number: sorts by time, ends in random characters. The unique index has the last word.
    fn order_number(&self) -> String {
        let now = self.0.environment.now().to_string();
        let time: String = now.chars().filter(char::is_ascii_digit).collect();
        format!("{time}{}", self.0.environment.random_text(8))
    }

    async fn order_by_key(&self, key: &str, deadline: Duration) -> Result<Option<Order>, CloudError> {
        let query = Query::new(Filter::all().eq("key", key)).limit(1);
        let class = &self.0.names.order_class;
        let found = self.find(class, &query, deadline).await?;
        match found.first() {
            None => Ok(None),
            Some(order) => Order::from_document(order, &self.0.names)
                .map(Some)
                .map_err(|error| malformed(&error)),
        }
    }
}

fn repeated_order(order: &Order, product: &ObjectId, quantity: u32) -> Result<OrderReceipt, CloudError> {
    if order.product.as_ref() != Some(product) || order.quantity != i64::from(quantity) {
        return Err(key_reused());
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

pub(super) fn malformed(error: &ProtocolError) -> CloudError {
    CloudError::other(format!("The stored order cannot be used: {error}.")).with_status(500)
}
