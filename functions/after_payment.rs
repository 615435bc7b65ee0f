//! `afterPayment`, internal: runs after a payment has succeeded, at least once for each. The place to grant what was
//! paid for: do it so that a second time changes nothing.

use paylog::engine::Params;
use paylog::model::CloudError;
use paylog::payment::service::Receipt;

pub(crate) async fn after_payment(Params(payment): Params<Receipt>) -> Result<(), CloudError> {
    tracing::debug!(
        payment.id = payment.log.as_str(),
        payment.kind = payment.kind,
        "paid"
    );
    Ok(())
}
