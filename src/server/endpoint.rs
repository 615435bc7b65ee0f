//! The paths of the API: one list, for requests from the wire and for those of a batch.

use super::validation;
use crate::model::{ClassName, CloudError};

/// The endpoint that a path leads to.
#[derive(Debug)]
pub(super) enum Endpoint<'a> {
    Class(ClassName),
    Object(ClassName, &'a str),
    User(&'a str),
    LogIn,
    Me,
    QueryUsers,
    UpdatePassword(&'a str),
    RefreshSessionToken(&'a str),
    /// A file by its id, or a new one by its name.
    File(&'a str),
    FileToken,
    FileCallback,
    Batch,
    BatchSave,
    Date,
    Scan(ClassName),
    CloudQuery,
    Schemas,
    Schema(ClassName),
    Definition(ClassName),
    /// A path of LeanCloud's that this server does not have yet, with the name of its feature.
    NotBuiltYet(&'static str),
}

impl<'a> Endpoint<'a> {
    /// Returns the endpoint of a decoded path, which begins with `/1.1/`.
    ///
    /// # Errors
    /// 103 for an illegal class name; 404, code 1, for a path that LeanCloud does not have either.
    pub(super) fn of(path: &'a str) -> Result<Self, CloudError> {
        let inner = path.strip_prefix("/1.1/").map(|path| path.trim_end_matches('/'));
        let inner =
            inner.ok_or_else(|| CloudError::other("Paths of this API start with /1.1/.").with_status(404))?;
        let segments: Vec<&str> = inner.split('/').collect();
        find(&segments)
    }
}

/// Returns the endpoint of a path's segments, without `1.1`.
fn find<'a>(segments: &[&'a str]) -> Result<Endpoint<'a>, CloudError> {
    Ok(match *segments {
        ["classes", class] => Endpoint::Class(validation::class_name(class)?),
        ["classes", class, ids] => Endpoint::Object(validation::class_name(class)?, ids),
        ["users"] => Endpoint::Class(ClassName::user()),
        ["users", "me"] => Endpoint::Me,
        ["users", "strictlyQuery"] => Endpoint::QueryUsers,
        ["users", id] => Endpoint::User(id),
        ["users", id, "updatePassword"] => Endpoint::UpdatePassword(id),
        ["users", id, "refreshSessionToken"] => Endpoint::RefreshSessionToken(id),
        ["roles"] => Endpoint::Class(ClassName::role()),
        ["roles", id] => Endpoint::Object(ClassName::role(), id),
        ["login"] => Endpoint::LogIn,
        ["batch"] => Endpoint::Batch,
        ["batch", "save"] => Endpoint::BatchSave,
        ["date"] => Endpoint::Date,
        ["scan", "classes", class] => Endpoint::Scan(validation::class_name(class)?),
        ["cloudQuery"] => Endpoint::CloudQuery,
        ["schemas"] => Endpoint::Schemas,
        ["schemas", class] => Endpoint::Schema(validation::class_name(class)?),
        ["schemas", class, "definition"] => Endpoint::Definition(validation::class_name(class)?),
        ["usersByMobilePhone" | "requestMobilePhoneVerify" | "requestLoginSmsCode"]
        | ["requestPasswordResetBySmsCode" | "requestChangePhoneNumber" | "changePhoneNumber"]
        | ["requestSmsCode"]
        | [
            "verifyMobilePhone" | "resetPasswordBySmsCode" | "verifySmsCode",
            _,
        ] => Endpoint::NotBuiltYet("Logging in and verifying by SMS"),
        ["requestCaptcha" | "verifyCaptcha"] => Endpoint::NotBuiltYet("Asking for a captcha"),
        ["bigquery", ..] => Endpoint::NotBuiltYet("The data query service"),
        ["requestPasswordReset" | "requestEmailVerify"] => Endpoint::NotBuiltYet("Sending e-mail"),
        ["files"] => Endpoint::Class(ClassName::file()),
        ["files", ids] => Endpoint::File(ids),
        ["fileTokens"] => Endpoint::FileToken,
        ["fileCallback"] => Endpoint::FileCallback,
        ["installations" | "push"] | ["installations", _] => Endpoint::NotBuiltYet("Push notification"),
        ["LiveQuery", ..] => Endpoint::NotBuiltYet("LiveQuery"),
        ["leaderboard" | "statistics", ..] => Endpoint::NotBuiltYet("Leaderboards"),
        ["search" | "searchAnalyzer", ..] => Endpoint::NotBuiltYet("Full-text search"),
        ["statuses" | "subscribe" | "share", ..]
        | [
            "users",
            _,
            "friendship" | "friendBlocklist" | "followers" | "followees" | "followersAndFollowees",
            ..,
        ] => Endpoint::NotBuiltYet("The status feed"),
        ["rtm", ..] => Endpoint::NotBuiltYet("Instant messaging"),
        ["exportData"] | ["exportData", _] => Endpoint::NotBuiltYet("Exporting by request"),
        _ => return Err(CloudError::other("There is no such path in this API.").with_status(404)),
    })
}
