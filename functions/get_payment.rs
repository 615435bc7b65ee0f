//! `getPayment`: returns one of the user's own payments, by its log or by its kind and key.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, ErrorCode, ObjectId};
use paylog::payment::service::{CallerKey, PaymentSelector, Receipt};
use paylog::payment::{Kind, PaymentService};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct GetPayment {
    log: Option<ObjectId>,
    kind: Option<String>,
    key: Option<CallerKey>,
}

pub(crate) async fn get_payment(
    Params(asked): Params<GetPayment>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    let kind = asked.kind.as_deref().and_then(Kind::from_name);
    let which = match (asked.log, kind, asked.key) {
        (Some(log), _, _) => PaymentSelector::Log(log),
        (None, Some(kind), Some(key)) => PaymentSelector::Key(kind, key),
        (None, _, _) => {
            let text = "Say which payment: its 'log', or its 'kind' and 'key'.";
            return Err(CloudError::new(ErrorCode::INVALID_JSON, text));
        }
    };
    payments.payment(user.id(), &which).await
}
