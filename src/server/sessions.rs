//! Session tokens, and the users that they belong to.

use crate::environment::Environment;
use crate::model::user_secrets::{SESSION_TOKEN, is_secret};
use crate::model::{ClassName, Document, Filter, Query};
use crate::store::{Database, ReadError};

/// Characters of a session token: 36^25 values; LeanCloud's length.
const LENGTH: usize = 25;

/// Returns the user of a session token, with `sessionToken` and without the password; `None` for an invalid token. One
/// indexed read.
///
/// # Errors
/// [`ReadError`].
pub async fn user_by_token(database: &dyn Database, token: &str) -> Result<Option<Document>, ReadError> {
    let user = stored_user_by_token(database, token).await?;
    Ok(user.map(|mut user| {
        user.retain(|key, _| key == SESSION_TOKEN || !is_secret(key));
        user
    }))
}

/// Returns the user of a session token with all columns.
pub(super) async fn stored_user_by_token(
    database: &dyn Database,
    token: &str,
) -> Result<Option<Document>, ReadError> {
    if !is_well_formed(token) {
        return Ok(None);
    }
    let query = Query::new(Filter::all().eq(SESSION_TOKEN, token)).limit(1);
    Ok(database.find(&ClassName::user(), &query).await?.pop())
}

/// Makes a new token.
pub(super) fn new_token(environment: &Environment) -> String {
    environment.random_text(LENGTH)
}

/// True if the text can be a token. Imported tokens may have another length.
fn is_well_formed(token: &str) -> bool {
    (8..=128).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}
