//! Login by `authData`: another platform names the user.
//!
//! Nothing here asks the platform if it is true. That is the task of the app's hook `onAuthData`.

use std::sync::Arc;

use super::context::Context;
use super::error::no_such_user;
use super::parameters::flag;
use super::response::ApiResponse;
use super::write_path::{self, Change, WriteRequest};
use super::{identities, user_records, users};
use crate::model::{AuthData, CloudError, Document, ErrorCode, Filter, Update};

/// True if the write is a login: a new user with `authData`.
pub(super) fn is_login(request: &WriteRequest) -> bool {
    request.class.as_str() == "_User"
        && matches!(request.change, Change::Create)
        && request.body.get("authData").is_some_and(|data| !data.is_null())
}

/// `POST /users` with `authData`: logs the known user in (200), or signs a new one up (201). The session of the request
/// does not matter. Two first logins at the same time make one user.
///
/// # Errors
/// 107, 250; 211 with `failOnNotExist` for an unknown user; 141, 142 from the hooks; those of a sign-up.
pub(super) async fn log_in(
    context: &Arc<Context>,
    mut request: WriteRequest,
) -> Result<ApiResponse, CloudError> {
    let sent = request.body.shift_remove("authData").unwrap_or_default();
    let sent = AuthData::parse(&sent)?;
    let data = identities::verified(context, None, sent).await?;
    if data.is_empty() {
        return Err(CloudError::new(
            ErrorCode::AUTH_DATA_INCOMPLETE,
            "'authData' names no platform.",
        ));
    }
    let known_by = data.identities();
    for identity in &known_by {
        identities::ensure_index(context, identity).await;
    }
    if let Some(user) = identities::find(context, &known_by).await? {
        return log_known_in(context, user, &data).await;
    }
    if flag(&request.parameters, "failOnNotExist") {
        return Err(no_such_user());
    }
    request.change = Change::SignUp(data.clone());
    match Box::pin(write_path::perform(context, request)).await {
        Err(error) if error.code == ErrorCode::DUPLICATE_VALUE => {
            // Another login with the same identity was faster.
            match identities::find(context, &known_by).await? {
                Some(user) => log_known_in(context, user, &data).await,
                None => Err(error),
            }
        }
        response => response,
    }
}

/// Logs a known user in, and stores the platform's new data.
async fn log_known_in(context: &Context, user: Document, data: &AuthData) -> Result<ApiResponse, CloudError> {
    let id = user.object_id().ok_or_else(no_such_user)?;
    users::ask_login_hook(context, &user).await?;
    let mut update = Update::new();
    identities::link(&user, data, &[], &mut update);
    let _turn = context.state().links.lock().await;
    identities::require_free(context, &data.claims(), Some(&id)).await?;
    user_records::write(context, &id, Filter::all(), update).await?;
    let user = user_records::by_id(context, &id).await?;
    let user = users::with_token(context, user).await?;
    users::whole_user(context, user).await
}
