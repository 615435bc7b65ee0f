//! Who asks, and on whose behalf documents are read and written.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::error::read_failed;
use super::service::Shared;
use super::sessions;
use crate::credentials::Caller;
use crate::environment::Environment;
use crate::model::{Class, ClassName, CloudError, Document, ObjectId, Permission, Principal, Schema};
use crate::store::Database;

/// One HTTP request: all elements of a batch share it, and with it the session and the roles, read at most once.
pub(super) struct Context {
    shared: Arc<Shared>,
    caller: Caller,
    /// The client's address, where it is known.
    pub(super) remote_address: Option<String>,
    /// How the client addresses the server, without a slash at the end.
    base_url: String,
    /// How many hooks the caller is inside of, as far as it says so.
    pub(super) hook_depth: u32,
    /// Whether it says so.
    tells_hook_depth: bool,
    /// Whether a 305 is to say why.
    explains: bool,
    /// Why the last write of the request had no effect.
    reason: Mutex<Option<String>>,
    session: OnceCell<Option<Document>>,
    principal: OnceCell<Principal>,
}

/// What a request says beside who it comes from.
#[derive(Debug)]
pub(super) struct Asked {
    /// How the client addresses the server, without a slash at the end.
    pub(super) base_url: String,
    /// How many hooks the caller is inside of, where it says so.
    pub(super) hook_depth: Option<u32>,
    /// Whether a 305 is to say why.
    pub(super) explains: bool,
}

impl Context {
    pub(super) fn new(
        shared: Arc<Shared>,
        caller: Caller,
        remote_address: Option<String>,
        asked: Asked,
    ) -> Self {
        Self {
            shared,
            caller,
            remote_address,
            base_url: asked.base_url,
            hook_depth: asked.hook_depth.unwrap_or(0),
            tells_hook_depth: asked.hook_depth.is_some(),
            explains: asked.explains,
            reason: Mutex::default(),
            session: OnceCell::new(),
            principal: OnceCell::new(),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn database(&self) -> &dyn Database {
        &*self.shared.database
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.shared.config.environment
    }

    /// How the client addresses the server, without a slash at the end.
    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Whether a 305 is to say why: the master key asks for it.
    pub(super) fn wants_reason(&self) -> bool {
        self.explains && self.caller.master
    }

    /// Takes note of why a write had no effect.
    pub(super) fn note_reason(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Why the last write of the request had no effect.
    pub(super) fn take_reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The classes as they are now.
    pub(super) fn schema(&self) -> Arc<Schema> {
        self.shared.database.schema()
    }

    /// A class as it is now.
    pub(super) fn class(&self, name: &ClassName) -> Option<Arc<Class>> {
        self.schema().classes.get(name).cloned()
    }

    /// Whether the request carries the master key.
    pub(super) fn is_master(&self) -> bool {
        self.caller.master
    }

    /// Whether the request may say which hooks are not to run.
    pub(super) fn may_ignore_hooks(&self) -> bool {
        self.caller.master || self.caller.hook
    }

    /// Whether the caller may be inside of hooks without saying so: another app's engine.
    pub(super) fn may_be_inside_a_hook(&self) -> bool {
        self.caller.hook && !self.tells_hook_depth
    }

    /// The token that the request shows, valid or not.
    pub(super) fn session_token(&self) -> Option<&str> {
        self.caller.session_token.as_deref()
    }

    /// The logged-in user as stored, with token and password hash. A token that is not valid is none.
    pub(super) async fn session(&self) -> Result<Option<&Document>, CloudError> {
        let Some(token) = self.session_token() else {
            return Ok(None);
        };
        let session = self
            .session
            .get_or_try_init(|| async {
                let user = sessions::stored_user_by_token(self.database(), token).await;
                user.map_err(read_failed)
            })
            .await?;
        Ok(session.as_ref())
    }

    /// The id of the logged-in user.
    pub(super) async fn session_user(&self) -> Result<Option<ObjectId>, CloudError> {
        Ok(self.session().await?.and_then(Document::object_id))
    }

    /// On whose behalf documents are read and written: the master key, or the session's user and roles.
    pub(super) async fn principal(&self) -> Result<&Principal, CloudError> {
        self.principal
            .get_or_try_init(|| async {
                if self.caller.master {
                    return Ok(Principal::Master);
                }
                let Some(user) = self.session_user().await? else {
                    return Ok(Principal::anonymous());
                };
                let roles = self.shared.roles.names_of(self.database(), &user).await;
                let roles = roles.map_err(read_failed)?;
                Ok(Principal::Client {
                    user: Some(user),
                    roles,
                })
            })
            .await
    }

    /// As [`Context::principal`], for a new object of this class: no object's ACL is asked, so the roles are not read
    /// unless the class's permissions name some.
    pub(super) async fn creator(&self, class: &Class) -> Result<Cow<'_, Principal>, CloudError> {
        let names_roles = [&class.permissions.create, &class.permissions.add_fields]
            .into_iter()
            .any(|permission| matches!(permission, Permission::Named { roles, .. } if !roles.is_empty()));
        if self.is_master() || names_roles || self.principal.initialized() {
            return self.principal().await.map(Cow::Borrowed);
        }
        Ok(Cow::Owned(Principal::Client {
            user: self.session_user().await?,
            roles: Vec::new(),
        }))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("master", &self.caller.master)
            .finish_non_exhaustive()
    }
}
