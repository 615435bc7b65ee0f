//! Rules of writes to `_Role`.

use crate::model::{CloudError, ErrorCode, KeyPath, Op, Update, Value};

/// Length of a role name, in bytes: it must fit into an index and into ACL keys.
const NAME_BYTES_MAX: usize = 128;

/// Checks a new role: it needs an ACL, and a name of letters, digits, `_`, `-` and blanks.
///
/// # Errors
/// 1, 139.
pub(super) fn check_new(update: &Update) -> Result<(), CloudError> {
    let given = |key: &str| update.ops.iter().find(|(path, _)| path.as_str() == key);
    if !matches!(given("ACL"), Some((_, Op::Set(_)))) {
        return Err(no_acl());
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ');
    match given("name") {
        Some((_, Op::Set(Value::String(name))))
            if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal) =>
        {
            Ok(())
        }
        _ => Err(CloudError::new(
            ErrorCode::INVALID_ROLE_NAME,
            "Invalid role name: letters, digits, '_', '-' and blanks only.",
        )),
    }
}

/// Code 1: a role without an ACL.
fn no_acl() -> CloudError {
    CloudError::other("Role ACL is required.")
}

/// Checks a change of a role: it keeps its name, to which ACLs refer, and an ACL, without which anybody could join it.
///
/// # Errors
/// 1, 139.
pub(super) fn check_update(update: &Update) -> Result<(), CloudError> {
    let drops_acl = |(path, op): &(KeyPath, Op)| path.column() == "ACL" && !matches!(op, Op::Set(_));
    if update.ops.iter().any(drops_acl) {
        return Err(no_acl());
    }
    if update.ops.iter().any(|(path, _)| path.column() == "name") {
        return Err(CloudError::new(
            ErrorCode::INVALID_ROLE_NAME,
            "A role's name can't be changed.",
        ));
    }
    Ok(())
}
