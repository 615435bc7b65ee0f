//! `transfer`: moves money from the user's account to another user's.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Transfer {
    to: ObjectId,
    #[serde(default)]
    amount: Value,
    note: Option<String>,
    key: CallerKey,
}

pub(crate) async fn transfer(
    Params(asked): Params<Transfer>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments
        .transfer(
            user.id(),
            &asked.to,
            &asked.amount,
            asked.note.as_deref(),
            &asked.key,
        )
        .await
}
