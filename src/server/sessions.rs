//! Session tokens: who is logged in.

use crate::environment::Environment;
use crate::model::user_secrets::{SESSION_TOKEN, is_secret};
use crate::model::{ClassName, Document, Filter, Query};
use crate::store::{Database, ReadError};

/// Characters of a session token: 36^25 values, as long as LeanCloud's.
const LENGTH: usize = 25;

/// The user whose session token this is, with `sessionToken` and without the password; one indexed read.
///
/// # Errors
/// [`ReadError`]; never for a token that is not valid.
pub async fn user_by_token(database: &dyn Database, token: &str) -> Result<Option<Document>, ReadError> {
    let user = stored_user_by_token(database, token).await?;
    Ok(user.map(|mut user| {
        user.retain(|key, _| key == SESSION_TOKEN || !is_secret(key));
        user
    }))
}

/// The user with the hash of the password.
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

/// A new token.
pub(super) fn new_token(environment: &Environment) -> String {
    environment.random_text(LENGTH)
}

/// Whether the text can be a token at all. Tokens that were imported may have another length.
fn is_well_formed(token: &str) -> bool {
    (8..=128).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}
