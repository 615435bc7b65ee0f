//! Users who leave.

use crate::model::{CloudError, Document, Filter, Query};
use crate::payment::protocol::machine::Manner;
use crate::payment::service::{Payments, undecided};

impl Payments {
    /// For `beforeDelete` of users: lets one go who has never had to do with payments, and only where the store is paylog's
    /// own. That one deletes on the condition that it is still so ([`PaymentConfig::kept_users`]); LeanCloud's does not, so
    /// that a payment could arrive between this check and the delete, and vanish.
    ///
    /// # Errors
    /// 119; 9010 where the logs cannot be read.
    ///
    /// [`PaymentConfig::kept_users`]: crate::payment::PaymentConfig::kept_users
    pub async fn guard_user_delete(&self, user: &Document) -> Result<(), CloudError> {
        let (Some(id), Manner::AtOnce) = (user.object_id(), self.0.driver.manner()) else {
            return Err(self.0.config.user_is_kept());
        };
        if self.0.config.kept_users().matches(user)? {
            return Err(self.0.config.user_is_kept());
        }
        // Payments that have not touched the account yet, and those that came to nothing.
        let filter = Filter::all().eq("user", self.0.rules.user_pointer(&id));
        let query = Query::new(filter).limit(1);
        let found = self
            .0
            .driver
            .find(&self.0.rules.log_class, &query, self.deadline())
            .await
            .ok_or_else(undecided)?;
        if found.is_empty() {
            Ok(())
        } else {
            Err(self.0.config.user_is_kept())
        }
    }
}
