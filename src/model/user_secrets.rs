//! The secret columns of `_User`, in one list: a column that is missing here would be shown to readers, passed to hooks
//! and compared in the open.

/// The columns that a password is checked against; the last two come with imported users.
pub const PASSWORD_COLUMNS: [&str; 3] = ["password", "salt", "bcryptPassword"];

/// The column of the session token.
pub const SESSION_TOKEN: &str = "sessionToken";

/// The columns that no reader sees, not even with the master key.
pub const SECRET_COLUMNS: [&str; 4] = ["password", "salt", "bcryptPassword", SESSION_TOKEN];

/// The secret columns, and the one that links a user to other platforms.
pub const SECRET_AND_LOGIN_COLUMNS: [&str; 5] =
    ["password", "salt", "bcryptPassword", SESSION_TOKEN, "authData"];

/// True for a column of `_User` that is never shown nor searched.
#[must_use]
pub fn is_secret(column: &str) -> bool {
    SECRET_COLUMNS.contains(&column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_holds_the_one_before() {
        assert!(PASSWORD_COLUMNS.iter().all(|column| is_secret(column)) && is_secret(SESSION_TOKEN));
        assert!(
            SECRET_COLUMNS
                .iter()
                .all(|column| SECRET_AND_LOGIN_COLUMNS.contains(column))
        );
        assert!(!is_secret("username") && !is_secret("authData"));
    }
}
