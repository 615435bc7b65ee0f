//! Port that resolves session tokens to users.

use async_trait::async_trait;

use crate::model::{CloudError, Document};

/// Resolver of session tokens: the embedded server, or LeanCloud's `GET /1.1/users/me`.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Returns the owner of a session token, as `users/me` returns it.
    ///
    /// # Errors
    /// 211 if the token is not valid (any more); any other error if it is unknown whether the token is valid.
    async fn user(&self, session_token: &str) -> Result<Document, CloudError>;
}
