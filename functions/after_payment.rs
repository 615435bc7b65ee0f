//! `afterPayment`, internal: runs after a payment has succeeded, at least once for each payment. Grant here
//! what was paid for, so that a second run changes nothing.

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
