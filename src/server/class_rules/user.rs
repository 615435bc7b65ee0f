//! Rules of writes to `_User`: the owner alone, required columns, and the secrets, which never pass through hooks.

use secrecy::SecretString;

use crate::model::auth_data::{ANONYMOUS, Unlink};
use crate::model::user_secrets::{PASSWORD_COLUMNS, SESSION_TOKEN, is_secret};
use crate::model::{
    AuthData, ClassName, CloudError, ErrorCode, Identity, KeyPath, ObjectId, Op, Update, UserHook, Value,
};
use crate::server::context::Context;
use crate::server::error::read_failed;
use crate::server::validation::read_only;
use crate::server::{identities, sessions, user_records};

/// Columns whose values no two users share, with the error of a value that is taken.
const UNIQUE: [(&str, ErrorCode, &str); 3] = [
    (
        "username",
        ErrorCode::USERNAME_TAKEN,
        "Username has already been taken.",
    ),
    (
        "email",
        ErrorCode::EMAIL_TAKEN,
        "The e-mail address has already been taken.",
    ),
    (
        "mobilePhoneNumber",
        ErrorCode::PHONE_TAKEN,
        "The mobile phone number has already been taken.",
    ),
];

/// Secrets that a write adds to a user after its before hook.
#[derive(Debug, Default)]
pub(in crate::server) struct Secrets {
    /// The new password, not hashed yet.
    password: Option<SecretString>,
    /// True if the user gets a new session token: a new user, and every user whose password changes, so that whoever knew
    /// the old password is logged out.
    new_token: bool,
}

impl Secrets {
    /// Adds the secrets to `update`, after the before hook, and returns the new session token if there is one.
    ///
    /// # Errors
    /// 429 if too many passwords wait to be hashed.
    pub(in crate::server) async fn seal(
        self,
        context: &Context,
        update: &mut Update,
    ) -> Result<Option<String>, CloudError> {
        if let Some(password) = self.password {
            let passwords = &context.state().passwords;
            let hash = passwords.hash(context.environment(), password).await?;
            update.ops.push((KeyPath::new("password"), Op::Set(hash.into())));
        }
        if !self.new_token {
            return Ok(None);
        }
        let token = sessions::new_token(context.environment());
        let set = Op::Set(token.as_str().into());
        update.ops.push((KeyPath::new(SESSION_TOKEN), set));
        Ok(Some(token))
    }
}

/// Requires the user's own session, or the master key.
///
/// # Errors
/// 206.
pub(in crate::server) async fn require_self(context: &Context, id: &ObjectId) -> Result<(), CloudError> {
    if context.is_master() || context.session_user().await?.as_ref() == Some(id) {
        return Ok(());
    }
    Err(CloudError::new(
        ErrorCode::USER_NOT_THEIRS,
        "The user cannot be altered by a client without the session.",
    ))
}

/// True if the user must not be deleted ([`ServerConfig::protected_users`](crate::server::ServerConfig)).
///
/// # Errors
/// Those of a read.
pub(super) async fn is_protected(context: &Context, id: &ObjectId) -> Result<bool, CloudError> {
    let Some(protected) = &context.state().config.protected_users else {
        return Ok(false);
    };
    let user = context.database().get(&ClassName::user(), id).await;
    user.map_err(read_failed)?
        .map_or(Ok(false), |user| protected.matches(&user))
}

/// 119: a protected user.
pub(super) fn protected() -> CloudError {
    CloudError::new(
        ErrorCode::OPERATION_FORBIDDEN,
        "This user cannot be deleted: others rely on it.",
    )
}

/// Checks a sign-up, and takes the password out of it. With `authData` it needs neither name nor password; without a name
/// it gets a random one.
///
/// # Errors
/// 117; 125; 127; 200; 201; 217; 218.
pub(super) fn check_new(
    context: &Context,
    update: &mut Update,
    data: Option<&AuthData>,
) -> Result<Secrets, CloudError> {
    check_fields(update)?;
    let is_named = update.ops.iter().any(|(path, _)| path.as_str() == "username");
    match data {
        Some(_) if !is_named => {
            let name = Value::String(sessions::new_token(context.environment()));
            update.ops.push((KeyPath::new("username"), Op::Set(name)));
        }
        None if !is_named => {
            return Err(CloudError::new(
                ErrorCode::USERNAME_MISSING,
                "Username is missing or empty.",
            ));
        }
        _ => {}
    }
    let password = take_password(update)?;
    match data {
        None if password.is_none() => {
            return Err(CloudError::new(
                ErrorCode::PASSWORD_MISSING,
                "Password is missing or empty.",
            ));
        }
        None => {}
        Some(data) => {
            let stored = Value::Object(data.stored());
            update.ops.push((KeyPath::new("authData"), Op::Set(stored)));
        }
    }
    Ok(Secrets {
        password,
        new_token: true,
    })
}

/// Checks a change of a user, takes a new password out of it, and marks a new address or number as not verified.
///
/// # Errors
/// As [`check_new`], except those of missing columns.
pub(super) fn check_update(update: &mut Update) -> Result<Secrets, CloudError> {
    check_fields(update)?;
    let password = take_password(update)?;
    for (key, verified) in [
        ("email", "emailVerified"),
        ("mobilePhoneNumber", "mobilePhoneVerified"),
    ] {
        let writes = |key: &str| update.ops.iter().any(|(path, _)| path.column() == key);
        if writes(key) && !writes(verified) {
            update.ops.push((KeyPath::new(verified), Op::Set(false.into())));
        }
    }
    Ok(Secrets {
        new_token: password.is_some(),
        password,
    })
}

/// Changes to the logins of a user that a write makes.
#[derive(Debug, Default)]
pub(in crate::server) struct LoginChanges {
    /// Identities on other platforms that the user gets.
    pub(in crate::server) claims: Vec<Identity>,
    /// Hooks to notify of what becomes verified.
    pub(in crate::server) verified: Vec<UserHook>,
}

/// Puts changes of platforms into `update`, and returns the identities that they claim. A first password ends no session:
/// nobody can have known another.
///
/// # Errors
/// 107, 111, 119, 250 for malformed `authData`; 141, 142 from the app's hook; 211 for an absent user.
pub(super) async fn change_logins(
    context: &Context,
    id: &ObjectId,
    update: &mut Update,
    secrets: &mut Secrets,
) -> Result<Vec<Identity>, CloudError> {
    let taken = AuthData::take(update)?;
    if taken.is_none() && secrets.password.is_none() {
        return Ok(Vec::new());
    }
    let user = user_records::by_id(context, id).await?;
    let (links, mut unlinks) = taken.unwrap_or_default();
    let links = identities::verified(context, Some(&user), links).await?;
    let claims = links.claims();
    for identity in &claims {
        identities::ensure_index(context, identity).await;
    }
    if secrets.password.is_some() {
        secrets.new_token &= PASSWORD_COLUMNS
            .iter()
            .any(|column| user.get(*column).is_some_and(|value| !value.is_null()));
        // The columns of an imported hash are of no use to a new one.
        let imported = PASSWORD_COLUMNS.iter().skip(1);
        let imported = imported.filter(|column| user.contains_key(**column));
        let deleted = imported.map(|column| (KeyPath::new(column), Op::Delete));
        update.ops.extend(deleted);
        if update.ops.iter().any(|(path, _)| path.as_str() == "username") {
            unlinks.push(Unlink::Platform(ANONYMOUS.to_owned()));
        }
    }
    identities::link(&user, &links, &unlinks, update);
    Ok(claims)
}

/// Returns the hooks to notify of what an update verifies for the first time.
///
/// # Errors
/// 211 for an absent user.
pub(super) async fn newly_verified(
    context: &Context,
    id: &ObjectId,
    update: &Update,
) -> Result<Vec<UserHook>, CloudError> {
    let sets = |key: &str| {
        let set = |(path, op): &(KeyPath, Op)| path.as_str() == key && *op == Op::Set(true.into());
        update.ops.iter().any(set)
    };
    let columns = [
        ("mobilePhoneVerified", UserHook::VerifiedSms),
        ("emailVerified", UserHook::VerifiedEmail),
    ];
    let mut hooks: Vec<_> = columns.into_iter().filter(|(key, _)| sets(key)).collect();
    if hooks.is_empty() || context.state().hooks.is_none() {
        return Ok(Vec::new());
    }
    let user = user_records::by_id(context, id).await?;
    hooks.retain(|(key, _)| user.get(*key) != Some(&Value::Bool(true)));
    Ok(hooks.into_iter().map(|(_, hook)| hook).collect())
}

/// Replaces the refusal of a unique index (137) by the error of the value that is taken.
pub(super) async fn name_duplicate(
    context: &Context,
    update: &Update,
    id: Option<&ObjectId>,
    refusal: CloudError,
) -> CloudError {
    if refusal.code != ErrorCode::DUPLICATE_VALUE {
        return refusal;
    }
    for (key, code, text) in UNIQUE {
        let given = update.ops.iter().find(|(path, _)| path.as_str() == key);
        let Some((_, Op::Set(value))) = given else {
            continue;
        };
        match user_records::by_key(context, key, value.clone()).await {
            Ok(Some(other)) if other.object_id().as_ref() != id => return CloudError::new(code, text),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    refusal
}

/// Reads a new password.
///
/// # Errors
/// 201 for anything but text; 218 for a blank text.
pub(in crate::server) fn password_of(value: &Value) -> Result<SecretString, CloudError> {
    let Value::String(text) = value else {
        return Err(CloudError::new(
            ErrorCode::PASSWORD_MISSING,
            "Password is missing or empty.",
        ));
    };
    if text.trim().is_empty() {
        return Err(CloudError::new(
            ErrorCode::PASSWORD_BLANK,
            "The password must not be blank.",
        ));
    }
    Ok(SecretString::from(text.as_str()))
}

fn take_password(update: &mut Update) -> Result<Option<SecretString>, CloudError> {
    let Some(index) = update
        .ops
        .iter()
        .position(|(path, _)| path.column() == "password")
    else {
        return Ok(None);
    };
    match update.ops.remove(index) {
        (path, Op::Set(value)) if !path.is_nested() => password_of(&value).map(Some),
        _ => password_of(&Value::Null).map(Some),
    }
}

fn check_fields(update: &Update) -> Result<(), CloudError> {
    for (path, op) in &update.ops {
        match (path.column(), op) {
            ("username", Op::Set(Value::String(name))) if !name.trim().is_empty() => {}
            ("username", _) => {
                return Err(CloudError::new(
                    ErrorCode::USERNAME_BLANK,
                    "The username must not be blank.",
                ));
            }
            ("email", Op::Set(value)) if !value.as_str().is_some_and(is_email) => {
                return Err(CloudError::new(
                    ErrorCode::INVALID_EMAIL,
                    "The e-mail address is invalid.",
                ));
            }
            ("mobilePhoneNumber", Op::Set(value)) if !value.as_str().is_some_and(is_phone) => {
                return Err(CloudError::new(
                    ErrorCode::INVALID_PHONE,
                    "The mobile phone number is invalid.",
                ));
            }
            ("password", _) => {}
            (key, _) if is_secret(key) => return Err(read_only()),
            _ => {}
        }
    }
    Ok(())
}

/// True for text, an `@`, and text without `@` or blanks. The verifying mail tells the rest.
fn is_email(text: &str) -> bool {
    let blank = |text: &str| text.chars().any(|c| c.is_whitespace() || c.is_control());
    text.len() <= 254
        && !blank(text)
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// True for 5 to 20 digits, after an optional `+`.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_addresses_and_numbers_are_refused() {
        for good in ["a@b", "tom@example.com", "first.last+tag@example.co.uk"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "tom", "@b", "a@", "a@b@c", "a b@c", "a@b\n"] {
            assert!(!is_email(bad), "{bad}");
        }
        assert!(is_phone("13800000000") && is_phone("+8613800000000"));
        assert!(!is_phone("1380000000a") && !is_phone("") && !is_phone("+1"));
    }
}
