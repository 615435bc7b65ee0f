//! The headers of a request: keys, signature, session and the depth of hooks.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use crate::client::Authentication;
use crate::client::config::ClientConfig;
use crate::credentials;
use crate::environment::hook_depth;
use crate::model::{CloudError, ErrorCode};

/// Error text of a request that needs the master key, in a client without one.
pub(super) const MASTER_KEY_MISSING: &str =
    "This needs the master key: give it to ClientBuilder::master_key.";

/// The caller that a request acts for.
pub(super) struct Caller<'a> {
    /// True if the request is signed with the master key.
    pub(super) master: bool,
    pub(super) session_token: Option<&'a SecretString>,
}

/// Returns all headers of a request.
///
/// # Errors
/// 401 if the master key is needed and missing; a value that no header can hold.
pub(super) fn request_headers(
    config: &ClientConfig,
    caller: &Caller<'_>,
    has_body: bool,
) -> Result<HeaderMap, CloudError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if has_body {
        let json = HeaderValue::from_static("application/json;charset=UTF-8");
        headers.insert(header::CONTENT_TYPE, json);
    }
    insert(&mut headers, "x-lc-id", &config.app_id, false)?;
    let production = if config.production { "1" } else { "0" };
    insert(&mut headers, "x-lc-prod", production, false)?;
    let (name, value) = authentication(config, caller)?;
    insert(&mut headers, name, &value, true)?;
    if let Some(token) = caller.session_token {
        insert(&mut headers, "x-lc-session", token.expose_secret(), true)?;
    }
    if let Some(key) = &config.hook_key {
        insert(&mut headers, "x-lc-hook-key", key.expose_secret(), true)?;
    }
    // A holder of the hook key may be inside a hook: it always says how deep it is.
    let depth = hook_depth::current();
    if depth > 0 || config.hook_key.is_some() {
        insert(&mut headers, hook_depth::HEADER, &depth.to_string(), false)?;
    }
    Ok(headers)
}

/// The header that proves the app or the master.
fn authentication(config: &ClientConfig, caller: &Caller<'_>) -> Result<(&'static str, String), CloudError> {
    let master_key = if caller.master {
        let missing = || CloudError::new(ErrorCode::UNAUTHORIZED, MASTER_KEY_MISSING);
        Some(config.master_key.as_ref().ok_or_else(missing)?)
    } else {
        None
    };
    let now = config.environment.now();
    Ok(match (config.authentication, master_key) {
        (Authentication::Sign, None) => ("x-lc-sign", credentials::sign(&config.app_key, now)),
        (Authentication::Sign, Some(key)) => ("x-lc-sign", credentials::sign_master(key, now)),
        (Authentication::Key, None) => ("x-lc-key", config.app_key.expose_secret().to_owned()),
        (Authentication::Key, Some(key)) => ("x-lc-key", format!("{},master", key.expose_secret())),
    })
}

fn insert(
    headers: &mut HeaderMap,
    name: &'static str,
    value: &str,
    sensitive: bool,
) -> Result<(), CloudError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        CloudError::other(format!(
            "The value of {name} holds characters that no header may hold."
        ))
    })?;
    value.set_sensitive(sensitive);
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}
