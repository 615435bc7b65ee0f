//! `cancelOrder`: cancels an order that was not paid.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentService;
use paylog::payment::service::Receipt;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct CancelOrder {
    order: ObjectId,
}

pub(crate) async fn cancel_order(
    Params(asked): Params<CancelOrder>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments.cancel_order(user.id(), &asked.order).await
}
