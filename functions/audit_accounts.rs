//! `auditAccounts`, internal: recomputes every balance from the payments, and lists the differences.

use paylog::engine::State;
use paylog::model::CloudError;
use paylog::payment::PaymentService;
use paylog::payment::audit::AuditReport;

pub(crate) async fn audit_accounts(
    State(payments): State<PaymentService>,
) -> Result<AuditReport, CloudError> {
    payments.audit().await
}
