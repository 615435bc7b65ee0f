//! `auditAccounts`, internal: recomputes every balance from the payments, and lists what differs.

use paylog::engine::State;
use paylog::model::CloudError;
use paylog::payment::Payments;
use paylog::payment::audit::Report;

pub(crate) async fn audit_accounts(State(payments): State<Payments>) -> Result<Report, CloudError> {
    payments.audit().await
}
