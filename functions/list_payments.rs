//! `listPayments`: lists the user's own payments, newest first.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentService;
use paylog::payment::service::PaymentPage;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct ListPayments {
    #[serde(default = "twenty")]
    limit: u32,
    before: Option<ObjectId>,
}

fn twenty() -> u32 {
    20
}

pub(crate) async fn list_payments(
    Params(asked): Params<ListPayments>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<PaymentPage, CloudError> {
    payments.list(user.id(), asked.limit, asked.before.as_ref()).await
}
