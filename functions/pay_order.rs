//! `payOrder`: pays an order from its owner's balance.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct PayOrder {
    order: ObjectId,
    /// Required for another attempt after a declined one.
    key: Option<CallerKey>,
}

pub(crate) async fn pay_order(
    Params(asked): Params<PayOrder>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments
        .pay_order(user.id(), &asked.order, asked.key.as_ref())
        .await
}
