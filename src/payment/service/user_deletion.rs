//! Deletion of users: only of those who never had anything to do with payments.

use crate::model::{CloudError, Document, Filter, Query};
use crate::payment::protocol::log::fields;
use crate::payment::protocol::machine::CommitMode;
use crate::payment::service::PaymentService;

impl PaymentService {
    /// For `beforeDelete` of users: allows the deletion of a user without payments, and only on paylog's own store. That
    /// store repeats the check in the condition of the delete ([`PaymentConfig::undeletable_users`]). LeanCloud's cannot, so
    /// that a payment could arrive between this check and the delete, and vanish.
    ///
    /// # Errors
    /// 119; 9010 if the logs cannot be read.
    ///
    /// [`PaymentConfig::undeletable_users`]: crate::payment::PaymentConfig::undeletable_users
    pub async fn check_user_delete(&self, user: &Document) -> Result<(), CloudError> {
        let config = &self.0.config;
        let (Some(id), CommitMode::Atomic) = (user.object_id(), self.0.driver.commit_mode()) else {
            return Err(config.user_is_undeletable());
        };
        if config.undeletable_users().matches(user)? {
            return Err(config.user_is_undeletable());
        }
        // Payments that have not touched the account yet, and those that were refused.
        let filter = Filter::all().eq(fields::USER, self.0.names.user_pointer(&id));
        let query = Query::new(filter).limit(1);
        let logs = self
            .find(&self.0.names.log_class, &query, self.deadline())
            .await?;
        if logs.is_empty() {
            Ok(())
        } else {
            Err(config.user_is_undeletable())
        }
    }
}
