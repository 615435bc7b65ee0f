//! Calls of customers, gateways and operators.

use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::service::{CallerKey, Channel, Notice, OrderReceipt, Receipt};
use paylog::payment::{Amount, PaymentService};
use serde_json::json;

use crate::world::short;

/// One call of the payment service. A clone repeats the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Recharge {
        user: ObjectId,
        amount: i64,
        key: String,
    },
    /// The notice of a gateway that it was paid.
    Confirm {
        user: ObjectId,
        number: String,
        amount: i64,
        trade_no: String,
    },
    Order {
        user: ObjectId,
        product: ObjectId,
        quantity: i64,
        key: String,
    },
    Pay {
        user: ObjectId,
        order: ObjectId,
        key: Option<String>,
    },
    Cancel {
        user: ObjectId,
        order: ObjectId,
    },
    Refund {
        user: ObjectId,
        order: ObjectId,
        amount: Option<i64>,
        key: String,
    },
    Transfer {
        user: ObjectId,
        to: ObjectId,
        amount: i64,
        key: String,
    },
    Withdraw {
        user: ObjectId,
        amount: i64,
        key: String,
    },
    SettleWithdraw {
        user: ObjectId,
        log: ObjectId,
        succeeded: bool,
    },
    Hold {
        user: ObjectId,
        amount: i64,
        expires_in: Option<i64>,
        key: String,
    },
    Capture {
        user: ObjectId,
        hold: ObjectId,
        amount: Option<i64>,
        payee: Option<ObjectId>,
        key: String,
    },
    Release {
        user: ObjectId,
        hold: ObjectId,
        key: String,
    },
    Adjust {
        user: ObjectId,
        amount: i64,
        key: String,
    },
}

/// The result of a call that succeeds.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub(crate) enum Success {
    Payment(Receipt),
    Order(OrderReceipt),
}

pub(crate) type Response = Result<Success, CloudError>;

impl Call {
    /// The identity of the payment: calls with the same one make at most one payment.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Recharge { user, key, .. } => format!("{}:recharge:{key}", short(user)),
            Self::Confirm { trade_no, .. } => format!("confirm:{trade_no}"),
            Self::Order { user, key, .. } => format!("{}:order:{key}", short(user)),
            Self::Pay {
                user, key: Some(key), ..
            } => format!("{}:purchase:{key}", short(user)),
            Self::Pay { order, key: None, .. } => format!("first attempt:{}", short(order)),
            Self::Cancel { order, .. } => format!("cancel:{}", short(order)),
            Self::Refund { user, key, .. } => format!("{}:refund:{key}", short(user)),
            Self::Transfer { user, key, .. } => format!("{}:transfer:{key}", short(user)),
            Self::Withdraw { user, key, .. } => format!("{}:withdraw:{key}", short(user)),
            Self::SettleWithdraw { log, .. } => format!("settle:{}", short(log)),
            Self::Hold { user, key, .. } => format!("{}:hold:{key}", short(user)),
            Self::Capture { user, key, .. } | Self::Release { user, key, .. } => {
                format!("{}:settle:{key}", short(user))
            }
            Self::Adjust { user, key, .. } => format!("{}:adjust:{key}", short(user)),
        }
    }

    pub(crate) async fn perform(&self, payments: &PaymentService) -> Response {
        let receipt = match self {
            Self::Recharge { user, amount, key } => {
                payments
                    .recharge(user, &json!(amount), Channel::Sandbox, &caller_key(key))
                    .await
            }
            Self::Confirm {
                number,
                amount,
                trade_no,
                ..
            } => {
                let notice = Notice {
                    number: number.clone(),
                    amount: Amount::new(*amount).unwrap(),
                    channel: Channel::Sandbox,
                    trade_no: trade_no.clone(),
                };
                payments.confirm_recharge(&notice).await
            }
            Self::Order {
                user,
                product,
                quantity,
                key,
            } => {
                let order = payments
                    .create_order(user, product, Some(&json!(quantity)), &caller_key(key))
                    .await;
                return order.map(Success::Order);
            }
            Self::Pay { user, order, key } => {
                let key = key.as_deref().map(caller_key);
                payments.pay_order(user, order, key.as_ref()).await
            }
            Self::Cancel { user, order } => payments.cancel_order(user, order).await,
            other => other.perform_other(payments).await,
        };
        receipt.map(Success::Payment)
    }

    async fn perform_other(&self, payments: &PaymentService) -> Result<Receipt, CloudError> {
        match self {
            Self::Refund {
                order, amount, key, ..
            } => {
                let amount = amount.map(Value::from);
                payments
                    .refund_order(order, amount.as_ref(), None, &caller_key(key))
                    .await
            }
            Self::Transfer {
                user,
                to,
                amount,
                key,
            } => {
                let (amount, key) = (json!(amount), caller_key(key));
                payments.transfer(user, to, &amount, None, &key).await
            }
            Self::Withdraw { user, amount, key } => {
                let (amount, key) = (json!(amount), caller_key(key));
                payments
                    .withdraw(user, &amount, Channel::Sandbox, "a bank", &key)
                    .await
            }
            Self::SettleWithdraw { log, succeeded, .. } => payments.settle_withdraw(log, *succeeded).await,
            Self::Hold {
                user,
                amount,
                expires_in,
                key,
            } => {
                let (amount, expires_in) = (json!(amount), expires_in.map(Value::from));
                payments
                    .hold_funds(user, &amount, expires_in.as_ref(), &caller_key(key))
                    .await
            }
            Self::Capture {
                hold,
                amount,
                payee,
                key,
                ..
            } => {
                let amount = amount.map(Value::from);
                payments
                    .capture_hold(hold, amount.as_ref(), payee.as_ref(), &caller_key(key))
                    .await
            }
            Self::Release { hold, key, .. } => payments.release_hold(hold, &caller_key(key)).await,
            Self::Adjust { user, amount, key } => {
                payments
                    .adjust_account(user, &json!(amount), "a reason", &caller_key(key))
                    .await
            }
            Self::Recharge { .. }
            | Self::Confirm { .. }
            | Self::Order { .. }
            | Self::Pay { .. }
            | Self::Cancel { .. } => unreachable!(),
        }
    }

    /// The call as a line of the transcript, without the digits that all ids share.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Recharge { user, amount, key } => format!("recharge {amount} for {} ({key})", short(user)),
            Self::Confirm {
                number,
                amount,
                trade_no,
                ..
            } => format!("confirm {amount} for {number} ({trade_no})"),
            Self::Order {
                user, quantity, key, ..
            } => format!("order {quantity} for {} ({key})", short(user)),
            Self::Pay { user, order, key } => {
                format!(
                    "{} pays {} ({})",
                    short(user),
                    short(order),
                    key.as_deref().unwrap_or("no key")
                )
            }
            Self::Cancel { user, order } => format!("{} cancels {}", short(user), short(order)),
            Self::Refund {
                order, amount, key, ..
            } => format!("refund {amount:?} of {} ({key})", short(order)),
            Self::Transfer {
                user,
                to,
                amount,
                key,
            } => format!("{} gives {amount} to {} ({key})", short(user), short(to)),
            Self::Withdraw { user, amount, key } => format!("{} withdraws {amount} ({key})", short(user)),
            Self::SettleWithdraw { log, succeeded, .. } => format!("payout of {}: {succeeded}", short(log)),
            Self::Hold {
                user,
                amount,
                expires_in,
                key,
            } => format!("hold {amount} of {} for {expires_in:?} s ({key})", short(user)),
            Self::Capture {
                hold,
                amount,
                payee,
                key,
                ..
            } => format!(
                "capture {amount:?} of {} for {:?} ({key})",
                short(hold),
                payee.as_ref().map(short)
            ),
            Self::Release { hold, key, .. } => format!("release {} ({key})", short(hold)),
            Self::Adjust { user, amount, key } => format!("adjust {} by {amount} ({key})", short(user)),
        }
    }
}

impl Success {
    /// The part that each repetition of the call must return unchanged.
    pub(crate) fn stable_part(&self) -> Self {
        let mut stable_part = self.clone();
        match &mut stable_part {
            Self::Payment(receipt) => receipt.replayed = false,
            // The status of an order changes; its id does not.
            Self::Order(order) => order.status.clear(),
        }
        stable_part
    }

    /// True if the payment is decided.
    pub(crate) fn is_decided(&self) -> bool {
        match self {
            Self::Payment(receipt) => receipt.outcome.is_some(),
            Self::Order(_) => true,
        }
    }
}

fn caller_key(key: &str) -> CallerKey {
    CallerKey::from_value(&json!(key)).unwrap()
}
