//! Hook signatures: mutual authentication of the storage service and of hooks in older SDKs, which know no hook key.
//!
//! A signature is a field of the object. The storage service adds it to the object that it passes to a hook, and the PHP
//! SDK requires it. A hook that saves its object sends the signature back, so that its own save does not call the hook
//! again. Sources: LeanEngine's PHP SDK, the Node.js SDK before it had hook keys, and lean-cli, which signs its hook calls.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

use super::{Credentials, equals_constant_time};
use crate::model::{ClassName, HookKind, Timestamp, hex};

/// Largest age of a signature in milliseconds, into the past and into the future. Hooks last seconds, and clocks differ
/// by more; but a leaked signature must not stay valid for ever.
const AGE_MAX: i64 = 60 * 60 * 1000;

/// Kind of a class hook's signature: one for all hooks before a write, one for all hooks after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookSignature {
    Before,
    After,
}

impl HookSignature {
    /// Both kinds.
    pub(crate) const ALL: [Self; 2] = [Self::Before, Self::After];

    /// Kind for a hook.
    pub(crate) fn of(kind: HookKind) -> Self {
        if kind.is_before() {
            Self::Before
        } else {
            Self::After
        }
    }

    /// Key of the signature in the object.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Before => "__before",
            Self::After => "__after",
        }
    }

    /// Text that is signed for a class.
    pub(crate) fn name(self, class: &ClassName) -> String {
        format!("{}_for_{class}", self.key())
    }
}

impl Credentials {
    /// Returns the signature of `name`: `<milliseconds>,<HMAC-SHA1 of "<name>:<milliseconds>" with the master key, in
    /// hexadecimal>`. `None` without a master key.
    pub(crate) fn sign_hook(&self, name: &str, now: Timestamp) -> Option<String> {
        let key = self.master_key.as_ref()?;
        Some(signature_at(key, name, now.as_millis()))
    }

    /// True if `signature` is a signature of `name` and at most one hour old.
    pub(crate) fn verify_hook_signature(&self, name: &str, signature: &str, now: Timestamp) -> bool {
        let time = signature.split_once(',').and_then(|(time, _)| time.parse().ok());
        let (Some(key), Some(time)) = (self.master_key.as_ref(), time) else {
            return false;
        };
        let age: i64 = now.as_millis().saturating_sub(time);
        !key.expose_secret().is_empty()
            && age.saturating_abs() <= AGE_MAX
            && equals_constant_time(&signature.to_ascii_lowercase(), &signature_at(key, name, time))
    }
}

fn signature_at(key: &SecretString, name: &str, millis: i64) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key.expose_secret().as_bytes())
        // HMAC accepts keys of any length.
        .unwrap_or_else(|_| <Hmac<Sha1> as KeyInit>::new(&Default::default()));
    mac.update(format!("{name}:{millis}").as_bytes());
    format!("{millis},{}", hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(master_key: Option<&str>) -> Credentials {
        Credentials {
            app_id: "app".into(),
            app_key: "key".into(),
            master_key: master_key.map(Into::into),
            hook_key: None,
            androidx_key: None,
        }
    }

    #[test]
    fn signature_matches_known_vectors() {
        for (key, name, known) in [
            (
                "aaa",
                "bbb",
                "1468317699700,79ba1b1e1f8348a657151715d5ee4d46d60d0a4b",
            ),
            (
                "master-key-example",
                "__before_for_Review",
                "1700000000000,ca812665c7aab065c5d28f0a02a3761ee8fbb2ba",
            ),
        ] {
            let (millis, _) = known.split_once(',').unwrap();
            let now = Timestamp::from_millis(millis.parse().unwrap());
            let keys = credentials(Some(key));
            assert_eq!(keys.sign_hook(name, now).unwrap(), known);
            assert!(keys.verify_hook_signature(name, known, now));
            assert!(keys.verify_hook_signature(name, &known.to_ascii_uppercase(), now));
        }
        let class = ClassName::parse("Review").unwrap();
        assert_eq!(HookSignature::Before.name(&class), "__before_for_Review");
        assert_eq!(
            HookSignature::of(HookKind::AfterDelete).name(&class),
            "__after_for_Review"
        );
    }

    #[test]
    fn malformed_or_old_signature_is_refused() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let keys = credentials(Some("master"));
        let signature = keys.sign_hook("name", now).unwrap();
        assert!(keys.verify_hook_signature("name", &signature, now.plus_millis(AGE_MAX)));
        assert!(keys.verify_hook_signature("name", &signature, now.plus_millis(-AGE_MAX)));
        assert!(!keys.verify_hook_signature("name", &signature, now.plus_millis(AGE_MAX + 1)));
        assert!(!keys.verify_hook_signature("name", &signature, now.plus_millis(-AGE_MAX - 1)));
        assert!(!keys.verify_hook_signature("another", &signature, now));
        let (millis, digest) = signature.split_once(',').unwrap();
        for other in [
            "",
            ",",
            millis,
            digest,
            &format!("{millis},"),
            &format!("1{signature}"),
            &format!("+{signature}"),
            &format!("{signature}0"),
            &format!("{},{digest}", i64::MIN),
        ] {
            assert!(!keys.verify_hook_signature("name", other, now), "{other}");
        }
        for stranger in [None, Some(""), Some("another")] {
            let stranger = credentials(stranger);
            let theirs = stranger.sign_hook("name", now).unwrap_or_default();
            assert!(!keys.verify_hook_signature("name", &theirs, now), "{theirs}");
        }
        // An empty key proves nothing.
        let open = credentials(Some(""));
        let signature = open.sign_hook("name", now).unwrap();
        assert!(!open.verify_hook_signature("name", &signature, now));
    }
}
