//! `createOrder`: creates an order for a product, at the server's price.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, OrderReceipt};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct CreateOrder {
    product: ObjectId,
    quantity: Option<Value>,
    key: CallerKey,
}

pub(crate) async fn create_order(
    Params(asked): Params<CreateOrder>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<OrderReceipt, CloudError> {
    payments
        .create_order(user.id(), &asked.product, asked.quantity.as_ref(), &asked.key)
        .await
}
