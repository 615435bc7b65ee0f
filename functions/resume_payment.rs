//! `resumePayment`, internal: resumes one payment, and returns its state then. `credit` credits money that has arrived with
//! another amount than was requested.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentService;
use paylog::payment::service::AdminReport;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct ResumePayment {
    log: ObjectId,
    #[serde(default)]
    credit: bool,
}

pub(crate) async fn resume_payment(
    Params(asked): Params<ResumePayment>,
    State(payments): State<PaymentService>,
) -> Result<AdminReport, CloudError> {
    payments.resume_payment(&asked.log, asked.credit).await
}
