//! The context of a request: its caller, and the principal for whom documents are read and written.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use tokio::sync::OnceCell;

use super::error::read_failed;
use super::state::ServerState;
use super::{headers, sessions};
use crate::credentials::Caller;
use crate::environment::{Environment, hook_depth};
use crate::http::{RemoteAddress, base_url, remote_address};
use crate::model::{Class, ClassName, CloudError, Document, ObjectId, Permission, Principal, Schema};
use crate::store::Database;

/// One HTTP request. All requests of a batch share it, and with it the session and the roles, which are read at most once.
pub(super) struct Context {
    state: Arc<ServerState>,
    caller: Caller,
    /// The head of the request; its headers are read on demand.
    head: Arc<Parts>,
    /// Reason why the last write had no effect.
    reason: Mutex<Option<String>>,
    session: OnceCell<Option<Document>>,
    principal: OnceCell<Principal>,
}

/// Names the SDK if it cannot set `User-Agent`.
const SDK: HeaderName = HeaderName::from_static("x-lc-ua");
const HOOK_DEPTH: HeaderName = HeaderName::from_static(hook_depth::HEADER);

impl Context {
    pub(super) fn new(state: Arc<ServerState>, caller: Caller, head: Arc<Parts>) -> Self {
        Self {
            state,
            caller,
            head,
            reason: Mutex::default(),
            session: OnceCell::new(),
            principal: OnceCell::new(),
        }
    }

    pub(super) fn state(&self) -> &ServerState {
        &self.state
    }

    pub(super) fn database(&self) -> &dyn Database {
        &*self.state.database
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.state.config.environment
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The client's address, if known.
    pub(super) fn remote_address(&self) -> Option<RemoteAddress> {
        let trust_proxy = self.state.config.trust_proxy;
        remote_address(&self.head.headers, &self.head.extensions, trust_proxy)
    }

    /// The server's address as clients know it, without a slash at the end.
    pub(super) fn base_url(&self) -> String {
        let config = &self.state.config;
        match &config.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => base_url(&self.head.uri, &self.head.headers, config.trust_proxy),
        }
    }

    /// True if the SDK runs inside of WeChat, where a file can only be sent as a form.
    pub(super) fn is_mini_program(&self) -> bool {
        self.header(&SDK).is_some_and(|sdk| sdk.contains("(Weapp"))
    }

    /// True for the C# SDK.
    pub(super) fn is_c_sharp(&self) -> bool {
        let agent = self.header(&header::USER_AGENT);
        agent.is_some_and(|agent| agent.starts_with("LeanCloud-CSharp-SDK/"))
    }

    /// The major and minor version of the JavaScript SDK, if it runs in Node.js.
    pub(super) fn node_js_sdk(&self) -> Option<(u32, u32)> {
        let agent = self.header(&header::USER_AGENT)?;
        let (version, platform) = agent.strip_prefix("LeanCloud-JS-SDK/")?.split_once(' ')?;
        let mut numbers = version.split('.').map_while(|number| number.parse().ok());
        let version = (numbers.next()?, numbers.next()?);
        platform.starts_with("(Node.js").then_some(version)
    }

    /// The number of hooks that the caller is inside of, from its header; a malformed number counts as too many.
    pub(super) fn hook_depth(&self) -> u32 {
        let depth = self.header(&HOOK_DEPTH);
        depth.map_or(0, |depth| depth.parse().unwrap_or(u32::MAX))
    }

    /// True if a 305 is to have a reason: on request of the master key.
    pub(super) fn wants_reason(&self) -> bool {
        self.caller.master
            && self
                .header(&headers::EXPLAIN)
                .is_some_and(|asked| asked != "0" && asked != "false")
    }

    /// Keeps the reason why a write had no effect.
    pub(super) fn note_reason(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Takes the reason why the last write had no effect.
    pub(super) fn take_reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The current classes.
    pub(super) fn schema(&self) -> Arc<Schema> {
        self.state.database.schema()
    }

    /// The current definition of a class.
    pub(super) fn class(&self, name: &ClassName) -> Option<Arc<Class>> {
        self.schema().classes.get(name).cloned()
    }

    /// True if the request has the master key.
    pub(super) fn is_master(&self) -> bool {
        self.caller.master
    }

    /// True if the request may disable hooks.
    pub(super) fn may_ignore_hooks(&self) -> bool {
        self.caller.master || self.caller.hook
    }

    /// True if the caller may be inside of hooks without sending its depth: another app's engine.
    pub(super) fn may_be_inside_a_hook(&self) -> bool {
        self.caller.hook && self.header(&HOOK_DEPTH).is_none()
    }

    /// The session token of the request, valid or not.
    pub(super) fn session_token(&self) -> Option<&str> {
        self.caller.session_token.as_deref()
    }

    /// Reads the logged-in user with all columns; `None` without a valid token.
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

    /// The principal for whom documents are read and written: the master key, or the session's user and roles.
    pub(super) async fn principal(&self) -> Result<&Principal, CloudError> {
        self.principal
            .get_or_try_init(|| async {
                if self.caller.master {
                    return Ok(Principal::Master);
                }
                let Some(user) = self.session_user().await? else {
                    return Ok(Principal::anonymous());
                };
                let roles = self.state.roles.names_of(self.database(), &user).await;
                let roles = roles.map_err(read_failed)?;
                Ok(Principal::Client {
                    user: Some(user),
                    roles,
                })
            })
            .await
    }

    /// As [`Context::principal`], for a new object of this class. No object's ACL matters, so the roles are read only if the
    /// class's permissions name roles.
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
