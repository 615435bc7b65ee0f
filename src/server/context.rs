//! Who asks, and on whose behalf documents are read and written.

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

/// One HTTP request: all elements of a batch share it, and with it the session and the roles, read at most once.
pub(super) struct Context {
    state: Arc<ServerState>,
    caller: Caller,
    /// The head of the request. What few requests need of it is read when it is needed.
    head: Arc<Parts>,
    /// Why the last write of the request had no effect.
    reason: Mutex<Option<String>>,
    session: OnceCell<Option<Document>>,
    principal: OnceCell<Principal>,
}

/// Which SDK it is, where it cannot set `User-Agent`.
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

    /// The client's address, where it is known.
    pub(super) fn remote_address(&self) -> Option<RemoteAddress> {
        let trust_proxy = self.state.config.trust_proxy;
        remote_address(&self.head.headers, &self.head.extensions, trust_proxy)
    }

    /// How the client addresses the server, without a slash at the end.
    pub(super) fn base_url(&self) -> String {
        let config = &self.state.config;
        match &config.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => base_url(&self.head.uri, &self.head.headers, config.trust_proxy),
        }
    }

    /// Whether the SDK says that it runs inside of WeChat: there a file can be sent as a form and in no other way.
    pub(super) fn is_mini_program(&self) -> bool {
        self.header(&SDK).is_some_and(|sdk| sdk.contains("(Weapp"))
    }

    /// Whether it is the C# SDK.
    pub(super) fn is_c_sharp(&self) -> bool {
        let agent = self.header(&header::USER_AGENT);
        agent.is_some_and(|agent| agent.starts_with("LeanCloud-CSharp-SDK/"))
    }

    /// The version of the JavaScript SDK, major and minor, where it runs in Node.js.
    pub(super) fn node_js_sdk(&self) -> Option<(u32, u32)> {
        let agent = self.header(&header::USER_AGENT)?;
        let (version, platform) = agent.strip_prefix("LeanCloud-JS-SDK/")?.split_once(' ')?;
        let mut numbers = version.split('.').map_while(|number| number.parse().ok());
        let version = (numbers.next()?, numbers.next()?);
        platform.starts_with("(Node.js").then_some(version)
    }

    /// How many hooks the caller is inside of, as far as it says so. What is no number is too many.
    pub(super) fn hook_depth(&self) -> u32 {
        let depth = self.header(&HOOK_DEPTH);
        depth.map_or(0, |depth| depth.parse().unwrap_or(u32::MAX))
    }

    /// Whether a 305 is to say why: the master key asks for it.
    pub(super) fn wants_reason(&self) -> bool {
        self.caller.master
            && self
                .header(&headers::EXPLAIN)
                .is_some_and(|asked| asked != "0" && asked != "false")
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
        self.state.database.schema()
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
        self.caller.hook && self.header(&HOOK_DEPTH).is_none()
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
                let roles = self.state.roles.names_of(self.database(), &user).await;
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
