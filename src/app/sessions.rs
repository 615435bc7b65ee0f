//! The users of session tokens, from the embedded store or from LeanCloud.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::client::{Client, ClientError};
use crate::engine::Sessions;
use crate::model::{CloudError, Document, ErrorCode};
use crate::server::sessions::user_by_token;
use crate::store::{Database, ReadError};

/// Sessions of the embedded store.
pub(crate) struct EmbeddedSessions(pub(crate) Arc<dyn Database>);

impl fmt::Debug for EmbeddedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedSessions")
    }
}

#[async_trait]
impl Sessions for EmbeddedSessions {
    async fn user(&self, session_token: &str) -> Result<Document, CloudError> {
        match user_by_token(&*self.0, session_token).await {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(CloudError::new(ErrorCode::USER_NOT_FOUND, "Could not find user.")),
            Err(ReadError::Rejected(error)) => Err(error),
            Err(ReadError::Unavailable(reason)) => Err(unavailable(&reason)),
        }
    }
}

/// Sessions of LeanCloud.
#[derive(Debug)]
pub(crate) struct RemoteSessions(pub(crate) Client);

#[async_trait]
impl Sessions for RemoteSessions {
    async fn user(&self, session_token: &str) -> Result<Document, CloudError> {
        match self.0.with_session(session_token).me().await {
            Ok(session) => Ok(session.user),
            Err(ClientError::Rejected { error, .. }) => Err(error),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }
}

fn unavailable(reason: &str) -> CloudError {
    CloudError::new(
        ErrorCode::UNAVAILABLE,
        format!("Whose session it is cannot be found out now: {reason}"),
    )
}
