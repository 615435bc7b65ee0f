//! Marks: how the storage service and the hooks of older SDKs, which know of no hook key, prove themselves to each other.
//!
//! A mark stands in the object. The storage service puts one into what it hands to a hook, and the SDK for PHP asks for
//! it; a hook that saves its object sends it along, and is not called again for what it does itself. Sources: LeanEngine's
//! SDK for PHP, that for Node.js before it had hook keys, and lean-cli, which makes marks to call hooks with.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

use super::{Credentials, same};
use crate::model::{ClassName, HookKind, Timestamp, hex};

/// How old a mark may be, and how far from the future, in milliseconds. Hooks last seconds, and clocks differ by more;
/// but whoever comes upon a mark is not to hold it for ever.
const AGE_MAX: i64 = 60 * 60 * 1000;

/// A mark of class hooks: it stands for all that run before a write, or for all that run after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookSignature {
    Before,
    After,
}

impl HookSignature {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Before, Self::After];

    /// That of a hook.
    pub(crate) fn of(kind: HookKind) -> Self {
        if kind.is_before() {
            Self::Before
        } else {
            Self::After
        }
    }

    /// The key in the object.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Before => "__before",
            Self::After => "__after",
        }
    }

    /// What is signed for a class.
    pub(crate) fn name(self, class: &ClassName) -> String {
        format!("{}_for_{class}", self.key())
    }
}

impl Credentials {
    /// A mark: `<milliseconds>,<HMAC-SHA1 of "<name>:<milliseconds>" under the master key, in hexadecimal>`. `None`
    /// without a master key.
    pub(crate) fn sign_hook(&self, name: &str, now: Timestamp) -> Option<String> {
        let key = self.master_key.as_ref()?;
        Some(mark(key, name, now.as_millis()))
    }

    /// Whether this is a mark of that name, not older than an hour.
    pub(crate) fn verify_hook_signature(&self, name: &str, shown: &str, now: Timestamp) -> bool {
        let time = shown.split_once(',').and_then(|(time, _)| time.parse().ok());
        let (Some(key), Some(time)) = (self.master_key.as_ref(), time) else {
            return false;
        };
        let age: i64 = now.as_millis().saturating_sub(time);
        !key.expose_secret().is_empty()
            && age.saturating_abs() <= AGE_MAX
            && same(&shown.to_ascii_lowercase(), &mark(key, name, time))
    }
}

fn mark(key: &SecretString, name: &str, millis: i64) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key.expose_secret().as_bytes())
        // HMAC takes keys of any length.
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
    fn known_marks() {
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
    fn what_is_no_mark() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let keys = credentials(Some("master"));
        let mark = keys.sign_hook("name", now).unwrap();
        assert!(keys.verify_hook_signature("name", &mark, now.plus_millis(AGE_MAX)));
        assert!(keys.verify_hook_signature("name", &mark, now.plus_millis(-AGE_MAX)));
        assert!(!keys.verify_hook_signature("name", &mark, now.plus_millis(AGE_MAX + 1)));
        assert!(!keys.verify_hook_signature("name", &mark, now.plus_millis(-AGE_MAX - 1)));
        assert!(!keys.verify_hook_signature("another", &mark, now));
        let (millis, digest) = mark.split_once(',').unwrap();
        for other in [
            "",
            ",",
            millis,
            digest,
            &format!("{millis},"),
            &format!("1{mark}"),
            &format!("+{mark}"),
            &format!("{mark}0"),
            &format!("{},{digest}", i64::MIN),
        ] {
            assert!(!keys.verify_hook_signature("name", other, now), "{other}");
        }
        for stranger in [None, Some(""), Some("another")] {
            let stranger = credentials(stranger);
            let theirs = stranger.sign_hook("name", now).unwrap_or_default();
            assert!(!keys.verify_hook_signature("name", &theirs, now), "{theirs}");
        }
        // Without a key nobody proves anything.
        let open = credentials(Some(""));
        let mark = open.sign_hook("name", now).unwrap();
        assert!(!open.verify_hook_signature("name", &mark, now));
    }
}
