//! The app's id and keys in LeanEngine's environment variables.

use secrecy::{ExposeSecret, SecretString};

use crate::config::variables::{SettingError, Variables};
use crate::credentials::Credentials;

const APP_ID: &str = "LEANCLOUD_APP_ID";
const APP_KEY: &str = "LEANCLOUD_APP_KEY";
const MASTER_KEY: &str = "LEANCLOUD_APP_MASTER_KEY";
const HOOK_KEY: &str = "LEANCLOUD_APP_HOOK_KEY";
const ANDROID_KEY: &str = "LEANCLOUD_APP_ANDX_KEY";

/// Keys set in the environment. Each may be absent.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// `LEANCLOUD_APP_ID`.
    pub app_id: Option<String>,
    /// `LEANCLOUD_APP_KEY`.
    pub app_key: Option<SecretString>,
    /// `LEANCLOUD_APP_MASTER_KEY`.
    pub master_key: Option<SecretString>,
    /// `LEANCLOUD_APP_HOOK_KEY`.
    pub hook_key: Option<SecretString>,
    /// `LEANCLOUD_APP_ANDX_KEY`, the Android key.
    pub androidx_key: Option<SecretString>,
}

impl Keys {
    /// Reads the variables.
    ///
    /// # Errors
    /// A variable that is set but empty.
    pub fn read(variables: &Variables) -> Result<Self, SettingError> {
        let secret = |name| Ok(variables.get(name)?.map(SecretString::from));
        Ok(Self {
            app_id: variables.get(APP_ID)?.map(ToOwned::to_owned),
            app_key: secret(APP_KEY)?,
            master_key: secret(MASTER_KEY)?,
            hook_key: secret(HOOK_KEY)?,
            androidx_key: secret(ANDROID_KEY)?,
        })
    }

    /// Returns the complete credentials for LeanCloud's API: the master key because money is moved with it, the hook key
    /// because writes suppress hooks with it.
    ///
    /// # Errors
    /// [`SettingError::Missing`] with every variable that is not set; [`SettingError::SharedKey`].
    pub fn complete(self) -> Result<Credentials, SettingError> {
        let mut missing = Vec::new();
        let mut note = |absent: bool, name| {
            if absent {
                missing.push(name);
            }
        };
        note(self.app_id.is_none(), APP_ID);
        note(self.app_key.is_none(), APP_KEY);
        note(self.master_key.is_none(), MASTER_KEY);
        note(self.hook_key.is_none(), HOOK_KEY);
        let credentials = match (self.app_id, self.app_key, self.master_key, self.hook_key) {
            (Some(app_id), Some(app_key), master_key @ Some(_), hook_key @ Some(_)) => Credentials {
                app_id,
                app_key,
                master_key,
                hook_key,
                androidx_key: self.androidx_key,
            },
            _ => return Err(SettingError::Missing(missing)),
        };
        check_distinct(&credentials)?;
        Ok(credentials)
    }

    /// Checks that app id and app key are both set, or neither.
    ///
    /// # Errors
    /// [`SettingError::HalfSet`]: an app id without its key, or the reverse, would lock out every client.
    pub fn check_pair(&self) -> Result<(), SettingError> {
        let half_set = |given, missing| Err(SettingError::HalfSet { given, missing });
        match (&self.app_id, &self.app_key) {
            (Some(_), None) => half_set(APP_ID, APP_KEY),
            (None, Some(_)) => half_set(APP_KEY, APP_ID),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }

    /// Replaces the keys in `credentials` by those that are set, and returns the variables that were used.
    ///
    /// # Errors
    /// As [`Keys::check_pair`]; [`SettingError::SharedKey`].
    pub fn replace_in(self, credentials: &mut Credentials) -> Result<Vec<&'static str>, SettingError> {
        self.check_pair()?;
        let mut used = Vec::new();
        if let (Some(app_id), Some(app_key)) = (self.app_id, self.app_key) {
            credentials.app_id = app_id;
            credentials.app_key = app_key;
            used.extend([APP_ID, APP_KEY]);
        }
        for (name, given, place) in [
            (MASTER_KEY, self.master_key, &mut credentials.master_key),
            (HOOK_KEY, self.hook_key, &mut credentials.hook_key),
            (ANDROID_KEY, self.androidx_key, &mut credentials.androidx_key),
        ] {
            if given.is_some() {
                *place = given;
                used.push(name);
            }
        }
        check_distinct(credentials)?;
        Ok(used)
    }
}

/// Checks that no key of clients equals a key of servers: it would allow every client what only servers may do.
fn check_distinct(credentials: &Credentials) -> Result<(), SettingError> {
    let secret = |key: &Option<SecretString>| key.as_ref().map(|key| key.expose_secret().to_owned());
    let app_key = Some(credentials.app_key.expose_secret().to_owned());
    for (client, key) in [
        ("app key", app_key),
        ("Android key", secret(&credentials.androidx_key)),
    ] {
        for (server, other) in [
            ("master key", &credentials.master_key),
            ("hook key", &credentials.hook_key),
        ] {
            if key.is_some() && key == secret(other) {
                return Err(SettingError::SharedKey { client, server });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(given: &[(&str, &str)]) -> Keys {
        let pairs = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Keys::read(&Variables::of(pairs)).unwrap()
    }

    fn stored() -> Credentials {
        Credentials {
            app_id: "stored".into(),
            app_key: "stored key".into(),
            master_key: Some("stored master".into()),
            hook_key: Some("stored hook".into()),
            androidx_key: None,
        }
    }

    #[test]
    fn client_key_equal_to_server_key_is_refused() {
        let (all, shared) = (
            [
                (APP_ID, "a"),
                (APP_KEY, "k"),
                (MASTER_KEY, "m"),
                (HOOK_KEY, "h"),
                (ANDROID_KEY, "x"),
            ],
            |client, server| SettingError::SharedKey { client, server },
        );
        for (name, value, client, server) in [
            (MASTER_KEY, "k", "app key", "master key"),
            (HOOK_KEY, "k", "app key", "hook key"),
            (MASTER_KEY, "x", "Android key", "master key"),
            (HOOK_KEY, "x", "Android key", "hook key"),
        ] {
            let given = all.map(|(key, old)| (key, if key == name { value } else { old }));
            assert_eq!(keys(&given).complete().unwrap_err(), shared(client, server));
            assert_eq!(
                keys(&given).replace_in(&mut stored()).unwrap_err(),
                shared(client, server)
            );
        }
        // Likewise with the keys in the folder.
        let given = keys(&[(MASTER_KEY, "stored key")]);
        assert_eq!(
            given.replace_in(&mut stored()).unwrap_err(),
            shared("app key", "master key")
        );
        assert!(keys(&all).complete().is_ok());
    }

    #[test]
    fn complete_names_every_missing_key() {
        let error = keys(&[(APP_ID, "a"), (MASTER_KEY, "m")]).complete().unwrap_err();
        assert_eq!(error, SettingError::Missing(vec![APP_KEY, HOOK_KEY]));
        let all = [(APP_ID, "a"), (APP_KEY, "k"), (MASTER_KEY, "m"), (HOOK_KEY, "h")];
        assert_eq!(keys(&all).complete().unwrap().app_id, "a");
    }

    #[test]
    fn set_keys_replace_stored_keys() {
        let mut credentials = stored();
        let used = keys(&[(MASTER_KEY, "other")])
            .replace_in(&mut credentials)
            .unwrap();
        assert_eq!(used, [MASTER_KEY]);
        assert_eq!(credentials.master_key.unwrap().expose_secret(), "other");
        assert_eq!(credentials.hook_key.unwrap().expose_secret(), "stored hook");
    }

    #[test]
    fn app_id_without_app_key_is_refused() {
        for (given, missing) in [(APP_ID, APP_KEY), (APP_KEY, APP_ID)] {
            let error = keys(&[(given, "x")]).replace_in(&mut stored()).unwrap_err();
            assert_eq!(error, SettingError::HalfSet { given, missing });
        }
    }
}
