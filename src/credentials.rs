//! Keys of an app, signing of requests, and authentication of requests.
//!
//! The client signs; the server and the engine authenticate. Sources: LeanCloud's REST guide on `X-LC-Sign`; the header
//! names that the official Node.js engine SDK accepts.

mod hook_signature;

use http::HeaderMap;
use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::model::{CloudError, Timestamp, hex};

pub(crate) use hook_signature::HookSignature;

/// The app's id and keys.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `X-LC-Id`; public.
    pub app_id: String,
    /// The key that is shipped in clients; public in practice.
    pub app_key: SecretString,
    /// Passes every permission. `None` in a client that does not need it.
    pub master_key: Option<SecretString>,
    /// Proves that a hook call comes from the storage service. Without it, every hook call is refused.
    pub hook_key: Option<SecretString>,
    /// The Android key (`ax-sig-1`), if the app has one.
    pub androidx_key: Option<SecretString>,
}

/// The authenticated sender of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// True if it sent the master key as such.
    pub master: bool,
    /// True if it sent the master key, as such or in place of the app key.
    pub holds_master_key: bool,
    /// True if it sent the right hook key.
    pub hook: bool,
    /// Its session token, not verified; never empty.
    pub session_token: Option<String>,
    /// `X-LC-Prod`: false for staging.
    pub production: bool,
}

/// Credentials in a request, from its headers or from a `text/plain` body; not verified.
#[derive(Clone, Debug, Default)]
pub struct RequestCredentials {
    /// App id.
    pub id: Option<String>,
    /// App key, or the master key with `,master`.
    pub key: Option<String>,
    /// Master key in its own header.
    pub master: Option<String>,
    /// `X-LC-Sign`.
    pub sign: Option<String>,
    /// Session token.
    pub session: Option<String>,
    /// `X-LC-Prod`.
    pub production: Option<String>,
    /// `X-LC-Hook-Key`.
    pub hook_key: Option<String>,
}

impl RequestCredentials {
    /// Reads the headers, in the Node.js engine SDK's order of preference of their names.
    ///
    /// Makes one pass over the headers: looking up every possible name would take longer than the rest of an
    /// authentication.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut credentials = Self::default();
        // Rank of the name under which each value was found; lower is preferred.
        let mut ranks = [u8::MAX; 7];
        for (name, value) in headers {
            let Some(name) = name.as_str().strip_prefix("x-") else {
                continue;
            };
            let (kind, rank, field) = match name {
                "lc-id" => (0, 0, &mut credentials.id),
                "avoscloud-application-id" => (0, 1, &mut credentials.id),
                "uluru-application-id" => (0, 2, &mut credentials.id),
                "lc-key" => (1, 0, &mut credentials.key),
                "avoscloud-application-key" => (1, 1, &mut credentials.key),
                "uluru-application-key" => (1, 2, &mut credentials.key),
                "avoscloud-master-key" => (2, 0, &mut credentials.master),
                "uluru-master-key" => (2, 1, &mut credentials.master),
                "lc-sign" => (3, 0, &mut credentials.sign),
                "avoscloud-request-sign" => (3, 1, &mut credentials.sign),
                "lc-session" => (4, 0, &mut credentials.session),
                "uluru-session-token" => (4, 1, &mut credentials.session),
                "avoscloud-session-token" => (4, 2, &mut credentials.session),
                "lc-prod" => (5, 0, &mut credentials.production),
                "avoscloud-application-production" => (5, 1, &mut credentials.production),
                "uluru-application-production" => (5, 2, &mut credentials.production),
                "lc-hook-key" => (6, 0, &mut credentials.hook_key),
                _ => continue,
            };
            let (Some(best), Ok(value)) = (ranks.get_mut::<usize>(kind), value.to_str()) else {
                continue;
            };
            // Of a repeated header, the first counts.
            if rank < *best {
                *best = rank;
                *field = Some(value.to_owned());
            }
        }
        credentials
    }
}

impl Credentials {
    /// Authenticates a request.
    ///
    /// A master key without `,master` in `X-LC-Key` authenticates, but not as master.
    ///
    /// # Errors
    /// 401 if the app id or every key is wrong.
    pub fn authenticate(&self, presented: &RequestCredentials) -> Result<Caller, CloudError> {
        let id = presented
            .id
            .as_deref()
            .filter(|id| !id.is_empty())
            .ok_or_else(CloudError::unauthorized)?;
        let master_key = self.master_key.as_ref();
        let (key, master) = match presented.key.as_deref().and_then(|key| key.split_once(",master")) {
            Some((master, _)) => (None, Some(master)),
            None => (presented.key.as_deref(), presented.master.as_deref()),
        };
        let by_master = matches_key(master_key, master);
        let by_app_key = matches_key(Some(&self.app_key), key);
        let by_unmarked_master = matches_key(master_key, key);
        // The id is public.
        let is_this_app = *id == *self.app_id;
        let master = if is_this_app && (by_master || by_app_key || by_unmarked_master) {
            by_master
        } else {
            // As in the Node.js SDK, the id must be present; here it must also be the right one.
            let sign = presented.sign.as_deref().filter(|_| is_this_app);
            self.check_sign(sign.ok_or_else(CloudError::unauthorized)?)?
        };
        Ok(Caller {
            master,
            holds_master_key: master || by_unmarked_master,
            hook: matches_key(self.hook_key.as_ref(), presented.hook_key.as_deref()),
            session_token: presented.session.clone().filter(|token| !token.is_empty()),
            production: !matches!(presented.production.as_deref(), Some("0" | "false")),
        })
    }

    /// Verifies `X-LC-Sign`; returns true if it is the master key's. Does not check the age of the timestamp.
    fn check_sign(&self, text: &str) -> Result<bool, CloudError> {
        let mut parts = text.split(',');
        let (Some(digest), Some(time)) = (parts.next(), parts.next()) else {
            return Err(CloudError::unauthorized());
        };
        let (key, master) = match parts.next() {
            Some("master") => (self.master_key.as_ref(), true),
            Some("ax-sig-1") => (self.androidx_key.as_ref(), false),
            _ => (Some(&self.app_key), false),
        };
        let expected = key
            .map(|key| sign_digest(key, time))
            .ok_or_else(CloudError::unauthorized)?;
        if equals_constant_time(&digest.to_ascii_lowercase(), &expected) {
            Ok(master)
        } else {
            Err(CloudError::unauthorized())
        }
    }
}

/// Returns the value of `X-LC-Sign` for the app key.
#[must_use]
pub fn sign(app_key: &SecretString, now: Timestamp) -> String {
    let time = now.as_millis().to_string();
    format!("{},{time}", sign_digest(app_key, &time))
}

/// Returns the value of `X-LC-Sign` for the master key.
#[must_use]
pub fn sign_master(master_key: &SecretString, now: Timestamp) -> String {
    let time = now.as_millis().to_string();
    format!("{},{time},master", sign_digest(master_key, &time))
}

/// Lower-case hexadecimal MD5 of the time in milliseconds followed by the key.
fn sign_digest(key: &SecretString, time: &str) -> String {
    let digest = Md5::new()
        .chain_update(time)
        .chain_update(key.expose_secret())
        .finalize();
    hex(&digest)
}

/// True if `value` is the key; false if there is no key or it is empty. Constant time.
fn matches_key(key: Option<&SecretString>, value: Option<&str>) -> bool {
    match (key.map(ExposeSecret::expose_secret), value) {
        (Some(key), Some(value)) if !key.is_empty() => equals_constant_time(key, value),
        _ => false,
    }
}

/// True if the texts are equal. Takes the same time for all texts of one length.
fn equals_constant_time(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            app_id: "app".into(),
            app_key: "UtOCzqb67d3sN12Kts4URwy8".into(),
            master_key: Some("DyJegPlemooo4X1tg94gQkw1".into()),
            hook_key: Some("hook".into()),
            androidx_key: None,
        }
    }

    fn presented(id: &str) -> RequestCredentials {
        RequestCredentials {
            id: Some(id.into()),
            ..RequestCredentials::default()
        }
    }

    #[test]
    fn sign_matches_documented_vectors() {
        let now = Timestamp::from_millis(1_453_014_943_466);
        let keys = credentials();
        assert_eq!(
            sign(&keys.app_key, now),
            "d5bcbb897e19b2f6633c716dfdfaf9be,1453014943466"
        );
        assert_eq!(
            sign_master(&keys.master_key.clone().unwrap(), now),
            "e074720658078c898aa0d4b1b82bdf4b,1453014943466,master"
        );
        for (sign, master) in [
            ("d5bcbb897e19b2f6633c716dfdfaf9be,1453014943466", false),
            ("D5BCBB897E19B2F6633C716DFDFAF9BE,1453014943466", false),
            ("e074720658078c898aa0d4b1b82bdf4b,1453014943466,master", true),
        ] {
            let shown = RequestCredentials {
                sign: Some(sign.into()),
                ..presented("app")
            };
            assert_eq!(keys.authenticate(&shown).unwrap().master, master);
            let other_app = RequestCredentials {
                sign: Some(sign.into()),
                ..presented("other")
            };
            assert!(keys.authenticate(&other_app).is_err());
        }
    }

    #[test]
    fn master_key_without_its_suffix_is_not_master() {
        let keys = credentials();
        let with_key = |key: &str| RequestCredentials {
            key: Some(key.into()),
            ..presented("app")
        };
        assert!(
            keys.authenticate(&with_key("DyJegPlemooo4X1tg94gQkw1,master"))
                .unwrap()
                .master
        );
        assert!(
            !keys
                .authenticate(&with_key("DyJegPlemooo4X1tg94gQkw1"))
                .unwrap()
                .master
        );
        assert!(
            !keys
                .authenticate(&with_key("UtOCzqb67d3sN12Kts4URwy8"))
                .unwrap()
                .master
        );
        assert!(
            keys.authenticate(&with_key("UtOCzqb67d3sN12Kts4URwy8,master"))
                .is_err()
        );
        assert!(keys.authenticate(&with_key("")).is_err());
    }

    #[test]
    fn older_header_names_count_if_newer_ones_are_absent() {
        let headers: [(HeaderName, &str); 10] = [
            ("x-uluru-application-id", "oldest"),
            ("x-lc-id", "app"),
            ("x-avoscloud-application-id", "older"),
            ("x-uluru-application-key", "a key"),
            ("x-avoscloud-master-key", "a master key"),
            ("x-avoscloud-request-sign", "a sign"),
            ("x-uluru-session-token", "a session"),
            ("x-avoscloud-session-token", "another session"),
            ("x-uluru-application-production", "0"),
            ("x-lc-hook-key", "a hook key"),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), value));
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name, HeaderValue::from_static(value)));
        let shown = RequestCredentials::from_headers(&headers.collect());
        let fields = [
            shown.id,
            shown.key,
            shown.master,
            shown.sign,
            shown.session,
            shown.production,
            shown.hook_key,
        ];
        let expected = [
            "app",
            "a key",
            "a master key",
            "a sign",
            "a session",
            "0",
            "a hook key",
        ];
        assert_eq!(fields.map(Option::unwrap), expected);
    }

    #[test]
    fn absent_hook_key_admits_no_hook_call() {
        let mut keys = credentials();
        let shown = RequestCredentials {
            key: Some("UtOCzqb67d3sN12Kts4URwy8".into()),
            hook_key: Some(String::new()),
            ..presented("app")
        };
        for hook_key in [None, Some(SecretString::from(""))] {
            keys.hook_key = hook_key;
            assert!(!keys.authenticate(&shown).unwrap().hook);
        }
    }
}
