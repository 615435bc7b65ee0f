//! The token that permits the upload of one file. It is signed, so that the server stores nothing.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::model::{CloudError, ObjectId, Timestamp};
use crate::store::files::FileKey;

/// Lifetime of a token, in milliseconds: an hour, for a large file over a slow connection.
pub(super) const LIFETIME_MILLIS: i64 = 60 * 60 * 1000;

/// The permission to upload one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UploadToken {
    /// The id of the file's row.
    pub(super) id: ObjectId,
    pub(super) key: FileKey,
}

impl UploadToken {
    /// Returns the token as text.
    pub(super) fn sign(&self, secret: &SecretString, now: Timestamp) -> String {
        let expires = now.as_millis().saturating_add(LIFETIME_MILLIS);
        let content = serde_json::json!([self.id.as_str(), self.key.as_str(), expires]).to_string();
        let content = BASE64_URL_SAFE_NO_PAD.encode(content);
        let seal = BASE64_URL_SAFE_NO_PAD.encode(mac(secret, &content).finalize().into_bytes());
        format!("{content}.{seal}")
    }

    /// Reads a token.
    ///
    /// # Errors
    /// Code 1, HTTP 403, for a forged or expired token.
    pub(super) fn verify(text: &str, secret: &SecretString, now: Timestamp) -> Result<Self, CloudError> {
        let refused = |why: &str| CloudError::other(why).with_status(403);
        let invalid = || refused("The upload token is not valid.");
        let (content, seal) = text.split_once('.').ok_or_else(invalid)?;
        let seal = BASE64_URL_SAFE_NO_PAD.decode(seal).map_err(|_| invalid())?;
        // Compares in constant time.
        mac(secret, content).verify_slice(&seal).map_err(|_| invalid())?;
        let content = BASE64_URL_SAFE_NO_PAD.decode(content).map_err(|_| invalid())?;
        let (id, key, expires): (String, String, i64) =
            serde_json::from_slice(&content).map_err(|_| invalid())?;
        if now.as_millis() > expires {
            return Err(refused("The upload token is too old: ask for another one."));
        }
        Ok(Self {
            id: ObjectId::parse(&id)?,
            key: FileKey::parse(&key)?,
        })
    }
}

/// The signature of a token. The words before the content keep it apart from other uses of the key.
fn mac(secret: &SecretString, content: &str) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.expose_secret().as_bytes())
        .unwrap_or_else(|_| <Hmac<Sha256> as KeyInit>::new(&Default::default()));
    mac.update(b"upload of a file:");
    mac.update(content.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_for_one_file_and_one_hour() {
        let secret = SecretString::from("key");
        let token = UploadToken {
            id: ObjectId::parse("5d8307fd17b54d0068f1aa87").unwrap(),
            key: FileKey::parse("a/b.png").unwrap(),
        };
        let now = Timestamp::from_millis(1_700_000_000_000);
        let later = |millis: i64| Timestamp::from_millis(now.as_millis() + millis);
        let text = token.sign(&secret, now);
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        );
        assert_eq!(
            UploadToken::verify(&text, &secret, later(LIFETIME_MILLIS)).unwrap(),
            token
        );
        assert!(UploadToken::verify(&text, &secret, later(LIFETIME_MILLIS + 1)).is_err());
        assert!(UploadToken::verify(&text, &SecretString::from("other"), now).is_err());
        let (content, seal) = text.split_once('.').unwrap();
        let forged = BASE64_URL_SAFE_NO_PAD.encode(r#"["x","y",9999999999999]"#);
        for bad in [
            "",
            ".",
            content,
            &format!("{forged}.{seal}"),
            &format!("{text}x"),
            "é.é",
        ] {
            assert!(UploadToken::verify(bad, &secret, now).is_err(), "{bad}");
        }
    }
}
