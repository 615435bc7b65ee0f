//! The port through which session tokens become users.

use async_trait::async_trait;

use crate::model::{CloudError, Document};

/// Whoever knows which user a session token belongs to: the embedded server, or LeanCloud's `GET /1.1/users/me`.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// The user, as `users/me` shows it.
    ///
    /// # Errors
    /// 211 where the token is not valid (any more); any other error where nobody knows.
    async fn user(&self, session_token: &str) -> Result<Document, CloudError>;
}
