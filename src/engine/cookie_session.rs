//! Login sessions of web pages: a signed cookie with the user's session token, in the Node.js SDK's format.
//!
//! Cloud functions do not use it; clients send them `X-LC-Session`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{FromFn, Next, from_fn_with_state};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use tower::Layer;

use crate::engine::Sessions;
use crate::model::Document;

/// Default name of the cookie.
const NAME: &str = "avos:sess";

/// Middleware that reads the cookie before a page of an axum app runs, and writes it to the response. Pages find a
/// [`CookieSession`] in the extensions of their request.
///
/// ```
/// use axum::{Extension, Router, routing::get};
/// use paylog::engine::{CookieSession, CookieSessionLayer};
///
/// async fn home(Extension(session): Extension<CookieSession>) -> String {
///     match session.user_id() {
///         Some(id) => format!("Hello, {id}!"),
///         None => "Please log in.".to_owned(),
///     }
/// }
///
/// # fn site() -> Result<Router, paylog::engine::CookieError> {
/// let site = Router::new().route("/", get(home)).layer(CookieSessionLayer::new("a long secret")?);
/// # Ok(site) }
/// ```
#[derive(Clone)]
pub struct CookieSessionLayer(Arc<Settings>);

struct Settings {
    secret: SecretString,
    name: String,
    max_age: Option<Duration>,
    secure: bool,
    sessions: Option<Arc<dyn Sessions>>,
}

/// Invalid setting of a cookie session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The secret is empty. Anybody could log in as any user.
    #[error("the secret of the cookie session is empty: give it a long random one")]
    NoSecret,
    /// The cookie's name is invalid.
    #[error("'{0}' cannot be the name of a cookie: letters, digits and any of !#$%&'*+-.^_`|~: only")]
    Name(String),
}

impl CookieSessionLayer {
    /// Sessions in the cookie `avos:sess`, until the browser is closed. All instances need the same `secret`.
    ///
    /// # Errors
    /// [`CookieError::NoSecret`] if the secret is empty.
    pub fn new(secret: impl Into<SecretString>) -> Result<Self, CookieError> {
        let secret = secret.into();
        if secret.expose_secret().is_empty() {
            return Err(CookieError::NoSecret);
        }
        Ok(Self(Arc::new(Settings {
            secret,
            name: NAME.to_owned(),
            max_age: None,
            secure: false,
            sessions: None,
        })))
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            secret: self.0.secret.clone(),
            name: self.0.name.clone(),
            max_age: self.0.max_age,
            secure: self.0.secure,
            sessions: self.0.sessions.clone(),
        };
        change(&mut settings);
        Self(Arc::new(settings))
    }

    /// Sets the cookie's name.
    ///
    /// # Errors
    /// [`CookieError::Name`] if the name is invalid.
    pub fn name(self, name: &str) -> Result<Self, CookieError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(CookieError::Name(name.to_owned()));
        }
        Ok(self.with(|settings| name.clone_into(&mut settings.name)))
    }

    /// Sets the lifetime of the cookie. Without it, the cookie lasts until the browser is closed.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        self.with(|settings| settings.max_age = Some(max_age))
    }

    /// Restricts the cookie to HTTPS.
    #[must_use]
    pub fn secure(self, secure: bool) -> Self {
        self.with(|settings| settings.secure = secure)
    }

    /// Fetches the user of every request with a session, for [`CookieSession::user`]. A session that is no longer valid
    /// counts as none.
    #[must_use]
    pub fn fetch_user(self, sessions: Arc<dyn Sessions>) -> Self {
        self.with(|settings| settings.sessions = Some(sessions))
    }
}

impl fmt::Debug for CookieSessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSessionLayer")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// Login session of a page's request.
#[derive(Clone, Default)]
pub struct CookieSession {
    content: Option<Content>,
    user: Option<Arc<Document>>,
    change: Arc<Mutex<Option<Change>>>,
}

/// Content of the cookie.
#[derive(Clone, Serialize, Deserialize)]
struct Content {
    #[serde(rename = "_uid")]
    user_id: String,
    #[serde(rename = "_sessionToken")]
    session_token: String,
}

enum Change {
    LogIn(Content),
    LogOut,
}

impl CookieSession {
    /// Id of the user.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        Some(&self.content.as_ref()?.user_id)
    }

    /// Session token of the user.
    #[must_use]
    pub fn session_token(&self) -> Option<&str> {
        Some(&self.content.as_ref()?.session_token)
    }

    /// The user, if [`CookieSessionLayer::fetch_user`] is set.
    #[must_use]
    pub fn user(&self) -> Option<&Document> {
        self.user.as_deref()
    }

    /// Logs the browser in with the response, for its next requests.
    pub fn log_in(&self, user_id: &str, session_token: &str) {
        self.set(Change::LogIn(Content {
            user_id: user_id.to_owned(),
            session_token: session_token.to_owned(),
        }));
    }

    /// Logs the browser out with the response. The session token stays valid.
    pub fn log_out(&self) {
        self.set(Change::LogOut);
    }

    fn set(&self, change: Change) {
        *self.change.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
    }
}

impl fmt::Debug for CookieSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSession")
            .field("user_id", &self.user_id())
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Signature of `name=value`.
    fn mac(&self, value: &str) -> Option<Hmac<Sha1>> {
        let mac = Hmac::<Sha1>::new_from_slice(self.secret.expose_secret().as_bytes());
        Some(mac.ok()?.chain_update(format!("{}={value}", self.name)))
    }

    /// Returns the content of the cookie, if its signature is valid.
    fn read(&self, headers: &HeaderMap) -> Option<Content> {
        let value = cookie(headers, &self.name)?;
        let signature = cookie(headers, &format!("{}.sig", self.name))?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.mac(value)?.verify_slice(&signature).ok()?;
        let content: Content = serde_json::from_slice(&STANDARD.decode(value).ok()?).ok()?;
        (!content.session_token.is_empty()).then_some(content)
    }

    /// Adds the cookie and its signature to a response.
    fn write(&self, change: &Change, headers: &mut HeaderMap) {
        let (value, age) = match change {
            Change::LogIn(content) => {
                let text = serde_json::to_vec(content).unwrap_or_default();
                let age = self.max_age.map(|age| format!("; max-age={}", age.as_secs()));
                (STANDARD.encode(text), age.unwrap_or_default())
            }
            Change::LogOut => (
                String::new(),
                "; expires=Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
            ),
        };
        let Some(mac) = self.mac(&value) else { return };
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        let secure = if self.secure { "; secure" } else { "" };
        for (suffix, value) in [("", value), (".sig", signature)] {
            let line = format!("{}{suffix}={value}; path=/{age}{secure}; httponly", self.name);
            if let Ok(line) = HeaderValue::try_from(line) {
                headers.append(header::SET_COOKIE, line);
            }
        }
    }

    /// Returns the session of a request.
    async fn session(&self, headers: &HeaderMap) -> CookieSession {
        let Some(content) = self.read(headers) else {
            return CookieSession::default();
        };
        let mut session = CookieSession {
            content: Some(content),
            ..CookieSession::default()
        };
        if let (Some(sessions), Some(token)) = (&self.sessions, session.session_token()) {
            match sessions.user(token).await {
                Ok(user) => session.user = Some(Arc::new(user)),
                Err(error) => {
                    tracing::debug!(%error, "the session token in a cookie is invalid");
                    return CookieSession::default();
                }
            }
        }
        session
    }
}

/// Returns the value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

/// Middleware function behind the layer.
type Middleware = fn(State<CookieSessionLayer>, Request, Next) -> BoxFuture<'static, Response>;

impl<S> Layer<S> for CookieSessionLayer {
    type Service = FromFn<Middleware, CookieSessionLayer, S, (State<CookieSessionLayer>, Request)>;

    fn layer(&self, inner: S) -> Self::Service {
        from_fn_with_state(self.clone(), run_with_session as Middleware).layer(inner)
    }
}

fn run_with_session(
    State(layer): State<CookieSessionLayer>,
    mut request: Request,
    next: Next,
) -> BoxFuture<'static, Response> {
    Box::pin(async move {
        let session = layer.0.session(request.headers()).await;
        let change = Arc::clone(&session.change);
        request.extensions_mut().insert(session);
        let mut response = next.run(request).await;
        let change = change.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(change) = change {
            layer.0.write(&change, response.headers_mut());
        }
        response
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "eyJfdWlkIjoiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxIiwiX3Nlc3Npb25Ub2tlbiI6ImFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWEifQ==";

    fn headers(cookie: &str) -> HeaderMap {
        [(header::COOKIE, cookie.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn cookie_of_the_node_sdk_round_trips() {
        let layer = CookieSessionLayer::new("my secret").unwrap();
        let signed = format!("a=b; avos:sess={VALUE}; avos:sess.sig=g52sEtMRC3lx0GRwbUORj4S47Ik");
        let content = layer.0.read(&headers(&signed)).unwrap();
        assert_eq!(content.user_id, "000000000000000000000001");
        assert_eq!(content.session_token, "aaaaaaaaaaaaaaaaaaaaaaaaa");
        let mut answer = HeaderMap::new();
        layer.0.write(&Change::LogIn(content), &mut answer);
        let lines: Vec<_> = answer.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(
            lines,
            [
                &format!("avos:sess={VALUE}; path=/; httponly"),
                "avos:sess.sig=g52sEtMRC3lx0GRwbUORj4S47Ik; path=/; httponly"
            ]
        );
    }

    #[test]
    fn cookie_without_valid_signature_is_ignored() {
        let layer = CookieSessionLayer::new("my secret").unwrap();
        for cookie in [
            format!("avos:sess={VALUE}"),
            format!("avos:sess={VALUE}; avos:sess.sig="),
            format!("avos:sess={VALUE}; avos:sess.sig=h52sEtMRC3lx0GRwbUORj4S47Ik"),
            format!("avos:sess=x{VALUE}; avos:sess.sig=g52sEtMRC3lx0GRwbUORj4S47Ik"),
            format!("other={VALUE}; other.sig=g52sEtMRC3lx0GRwbUORj4S47Ik"),
        ] {
            assert!(layer.0.read(&headers(&cookie)).is_none(), "{cookie}");
        }
        let other = CookieSessionLayer::new("other").unwrap();
        let signed = format!("avos:sess={VALUE}; avos:sess.sig=g52sEtMRC3lx0GRwbUORj4S47Ik");
        assert!(other.0.read(&headers(&signed)).is_none());
        assert_eq!(
            CookieSessionLayer::new("").map(|_| ()).unwrap_err(),
            CookieError::NoSecret
        );
        assert!(layer.name("a b").is_err());
    }
}
