//! Rules of a write that depend on its class: one value, chosen once for each write.

pub(super) mod file;
pub(super) mod role;
pub(super) mod user;

use self::user::{LoginChanges, Secrets};
use super::context::Context;
use super::hook_caller::WriteHooks;
use super::write_path::request::Change;
use crate::model::{ClassName, CloudError, Document, Filter, ObjectId, Principal, Update, Value};
use crate::store::files::FileKey;

/// Rules of a class for writes, beside those of every class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClassRules {
    /// `_User`.
    User,
    /// `_Role`.
    Role,
    /// `_File`.
    File,
    /// `_Installation`.
    Installation,
    /// Every other class: no rules of its own.
    Ordinary,
}

impl ClassRules {
    /// Chooses the rules of a class.
    pub(super) fn of(class: &ClassName) -> Self {
        match class.as_str() {
            "_User" => Self::User,
            "_Role" => Self::Role,
            "_File" => Self::File,
            "_Installation" => Self::Installation,
            _ => Self::Ordinary,
        }
    }

    /// Returns the hooks of a write with this body. Devices report themselves too often for hooks: LeanCloud calls none
    /// for `_Installation`.
    pub(super) fn hooks(self, context: &Context, class: ClassName, body: &Document) -> WriteHooks {
        if self == Self::Installation {
            return WriteHooks::none(class);
        }
        WriteHooks::of(context, class, body)
    }

    /// Requires that the caller may write these objects at all. Only the user and the master key change or delete a user,
    /// whatever the ACL says.
    ///
    /// # Errors
    /// 206.
    pub(super) async fn require_owner(self, context: &Context, ids: &[ObjectId]) -> Result<(), CloudError> {
        if self == Self::User {
            for id in ids {
                user::require_self(context, id).await?;
            }
        }
        Ok(())
    }

    /// Returns the principal whose ACL rights a change or deletion needs. An ACL has no say over users:
    /// [`ClassRules::require_owner`] has checked instead.
    pub(super) fn acl_principal(self, principal: &Principal) -> &Principal {
        match self {
            Self::User => &Principal::Master,
            _ => principal,
        }
    }

    /// Removes from the body of a new object what is no column of it.
    pub(super) fn strip_new(self, body: &mut Document) {
        if self == Self::User {
            // `null`: anything else has made it a login.
            body.shift_remove("authData");
        }
        if body.get("ACL").is_some_and(Value::is_null) {
            // One SDK sends `null` for none.
            body.shift_remove("ACL");
        }
    }

    /// Checks a new object, and adds what the class gives it.
    ///
    /// # Errors
    /// Those of [`user::check_new`], [`role::check_new`] and [`file::check_new`].
    pub(super) fn check_new(
        self,
        context: &Context,
        update: &mut Update,
        change: &Change,
    ) -> Result<Secrets, CloudError> {
        match self {
            Self::User => return user::check_new(context, update, change.auth_data()),
            Self::Role => role::check_new(update)?,
            Self::File => file::check_new(context, update, change.file_key())?,
            Self::Installation | Self::Ordinary => {}
        }
        Ok(Secrets::default())
    }

    /// Checks a change, and adds what follows from it.
    ///
    /// # Errors
    /// Those of [`user::check_update`] and [`role::check_update`].
    pub(super) fn check_update(self, update: &mut Update) -> Result<Secrets, CloudError> {
        match self {
            Self::User => return user::check_update(update),
            Self::Role => role::check_update(update)?,
            Self::File | Self::Installation | Self::Ordinary => {}
        }
        Ok(Secrets::default())
    }

    /// Puts what a change does to a user's logins into `update`.
    ///
    /// # Errors
    /// Those of [`user::change_logins`].
    pub(super) async fn change_logins(
        self,
        context: &Context,
        id: &ObjectId,
        update: &mut Update,
        secrets: &mut Secrets,
    ) -> Result<LoginChanges, CloudError> {
        if self != Self::User {
            return Ok(LoginChanges::default());
        }
        Ok(LoginChanges {
            claims: user::change_logins(context, id, update, secrets).await?,
            verified: user::newly_verified(context, id, update).await?,
        })
    }

    /// Adds the class's own condition to that of a deletion: protected users stay.
    pub(super) fn delete_condition(self, context: &Context, condition: Filter) -> Filter {
        match (self, &context.state().config.protected_users) {
            (Self::User, Some(protected)) => {
                Filter::And(vec![condition, Filter::Nor(vec![protected.clone()])])
            }
            _ => condition,
        }
    }

    /// Returns the error of a deletion that [`ClassRules::delete_condition`] has stopped.
    ///
    /// # Errors
    /// Those of a read.
    pub(super) async fn delete_refusal(
        self,
        context: &Context,
        id: &ObjectId,
    ) -> Result<Option<CloudError>, CloudError> {
        if self == Self::User && user::is_protected(context, id).await? {
            return Ok(Some(user::protected()));
        }
        Ok(None)
    }

    /// Returns the keys of the bytes that go with these objects.
    ///
    /// # Errors
    /// Those of a read.
    pub(super) async fn file_keys(
        self,
        context: &Context,
        ids: &[ObjectId],
    ) -> Result<Vec<(ObjectId, FileKey)>, CloudError> {
        match self {
            Self::File => file::keys(context, ids).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Replaces the refusal of a unique index (137) by the error of the value that is taken.
    pub(super) async fn name_duplicate(
        self,
        context: &Context,
        update: &Update,
        id: Option<&ObjectId>,
        refusal: CloudError,
    ) -> CloudError {
        match self {
            Self::User => user::name_duplicate(context, update, id, refusal).await,
            _ => refusal,
        }
    }
}
