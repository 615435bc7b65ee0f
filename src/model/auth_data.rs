//! `authData`: a user's accounts on other platforms, by platform.

use serde_json::{Map, Value, json};

use crate::model::{CloudError, ErrorCode, KeyPath, Op, Update};

/// The column of `_User`.
const COLUMN: &str = "authData";

/// The platform of anonymous users. It is removed once the user has another way to log in.
pub const ANONYMOUS: &str = "anonymous";

/// Maximum number of platforms of one user.
const PLATFORMS_MAX: usize = 32;

/// Maximum lengths in bytes of a platform's name and of an identity. Both must fit into an index.
const NAME_BYTES_MAX: usize = 64;
const IDENTITY_BYTES_MAX: usize = 512;

/// The `authData` of a login, by platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthData(Map<String, Value>);

/// The value that identifies a user on a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Key path in `_User`: `authData.<platform>.<key>`.
    pub path: String,
    /// Text or a number.
    pub value: Value,
}

impl AuthData {
    /// Parses the `authData` of a login. Leaves out `null` platforms and the server's own (`_…`), which SDKs send
    /// back. Does not check identities: see [`AuthData::require_identities`].
    ///
    /// # Errors
    /// 107 if it is not an object of objects.
    pub fn parse(value: &Value) -> Result<Self, CloudError> {
        let platforms = value
            .as_object()
            .ok_or_else(|| CloudError::malformed("'authData' must be an object of objects, by platform."))?;
        let mut parsed = Map::new();
        for (platform, data) in platforms {
            if platform.starts_with('_') || data.is_null() {
                continue;
            }
            check_platform(platform)?;
            let data = data.as_object().ok_or_else(|| {
                CloudError::malformed(format!("The authData of '{platform}' must be an object."))
            })?;
            parsed.insert(platform.clone(), Value::Object(data.clone()));
        }
        if parsed.len() > PLATFORMS_MAX {
            return Err(CloudError::malformed(format!(
                "'authData' holds at most {PLATFORMS_MAX} platforms."
            )));
        }
        Ok(Self(parsed))
    }

    /// Checks that every platform identifies the user. Call it after the app's `onAuthData` hook has run.
    ///
    /// # Errors
    /// 250 if a platform does not.
    pub fn require_identities(&self) -> Result<(), CloudError> {
        for (platform, data) in &self.0 {
            let nothing = Map::new();
            identity(platform, data.as_object().unwrap_or(&nothing))?;
        }
        Ok(())
    }

    /// True if no platform is present.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if it has a platform other than [`ANONYMOUS`].
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.0.keys().any(|platform| platform != ANONYMOUS)
    }

    /// The wire form, as sent by the client.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The stored form: adds `_<platform>_unionid` for each account that is the main one of its union.
    #[must_use]
    pub fn stored(&self) -> Map<String, Value> {
        let mut stored = self.0.clone();
        for data in self.0.values() {
            if let Some((platform, id)) = union(data)
                && is_main_account(data)
            {
                stored.insert(platform, json!({"uid": id}));
            }
        }
        stored
    }

    /// The identities that it gives the user, unions last. The first known identity decides.
    #[must_use]
    pub fn identities(&self) -> Vec<Identity> {
        let own = self.0.iter().filter_map(|(platform, data)| {
            let (key, value) = identity(platform, data.as_object()?).ok()?;
            Some(Identity::new(platform, key, value))
        });
        let unions = self.0.values().filter_map(|data| {
            let (platform, id) = union(data)?;
            Some(Identity::new(&platform, "uid", id.into()))
        });
        own.chain(unions).collect()
    }

    /// The identities that the user claims exclusively by storing this.
    #[must_use]
    pub fn claims(&self) -> Vec<Identity> {
        let stored = self.stored();
        stored
            .iter()
            .filter_map(|(platform, data)| {
                let (key, value) = identity(platform, data.as_object()?).ok()?;
                Some(Identity::new(platform, key, value))
            })
            .collect()
    }

    /// Removes the operations on `authData` from an update. Returns the platforms to link and the platforms to
    /// unlink; `None` if the update does not touch the column.
    ///
    /// # Errors
    /// As [`AuthData::parse`]; 111 for anything but setting and deleting; 119 for a part of one platform's data.
    pub fn take(update: &mut Update) -> Result<Option<(Self, Vec<Unlink>)>, CloudError> {
        if !update.ops.iter().any(|(path, _)| path.column() == COLUMN) {
            return Ok(None);
        }
        let mut links = Map::new();
        let mut unlinks = Vec::new();
        let mut kept = Vec::with_capacity(update.ops.len());
        for (path, op) in update.ops.drain(..) {
            if path.column() != COLUMN {
                kept.push((path, op));
                continue;
            }
            let parts: Vec<&str> = path.parts().skip(1).collect();
            match (parts.as_slice(), op) {
                ([], Op::Set(Value::Object(platforms))) => {
                    let gone = platforms.iter().filter(|(_, data)| data.is_null());
                    unlinks.extend(gone.map(|(platform, _)| Unlink::Platform(platform.clone())));
                    links.extend(platforms);
                }
                ([], Op::Delete | Op::Set(Value::Null)) => unlinks.push(Unlink::All),
                ([platform], Op::Set(data)) if !data.is_null() => {
                    links.insert((*platform).to_owned(), data);
                }
                ([platform], Op::Delete | Op::Set(_)) => {
                    unlinks.push(Unlink::Platform((*platform).to_owned()));
                }
                ([] | [_], _) => {
                    return Err(CloudError::new(
                        ErrorCode::INCORRECT_TYPE,
                        "'authData' can only be set or deleted.",
                    ));
                }
                _ => {
                    return Err(CloudError::new(
                        ErrorCode::OPERATION_FORBIDDEN,
                        "'authData' can only be changed by whole platforms.",
                    ));
                }
            }
        }
        update.ops = kept;
        Ok(Some((Self::parse(&Value::Object(links))?, unlinks)))
    }
}

/// A removal of linked platforms by an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlink {
    /// One platform.
    Platform(String),
    /// Every platform.
    All,
}

impl Unlink {
    /// The equivalent operation.
    #[must_use]
    pub fn to_op(&self) -> (KeyPath, Op) {
        let path = match self {
            Self::Platform(platform) => KeyPath::new(&format!("{COLUMN}.{platform}")),
            Self::All => KeyPath::new(COLUMN),
        };
        (path, Op::Delete)
    }
}

impl Identity {
    fn new(platform: &str, key: &str, value: Value) -> Self {
        Self {
            path: format!("{COLUMN}.{platform}.{key}"),
            value,
        }
    }
}

/// The key and value of a platform's data that identify the user.
fn identity(platform: &str, data: &Map<String, Value>) -> Result<(&'static str, Value), CloudError> {
    let keys: &[&'static str] = match platform {
        ANONYMOUS => &["id"],
        "weixin" | "qq" | "lc_weapp" | "lc_qqapp" => &["openid", "uid"],
        // The guide names `uid` for all others, but its example of a union has `openid`.
        _ => &["uid", "openid"],
    };
    let legal = |value: &Value| match value {
        Value::String(text) => (1..=IDENTITY_BYTES_MAX).contains(&text.len()),
        value => value.is_number(),
    };
    keys.iter()
        .find_map(|key| Some((*key, data.get(*key)?.clone())))
        .filter(|(_, value)| legal(value))
        .ok_or_else(|| {
            let wanted = keys.join("' or '");
            let mut text = format!("The authData of '{platform}' needs '{wanted}': who the user is there.");
            if data.contains_key("code") {
                text.push_str(
                    " It has a 'code', which nobody has exchanged with the platform: this server does not, but the \
                     app's hook onAuthData can.",
                );
            }
            CloudError::new(ErrorCode::AUTH_DATA_INCOMPLETE, text)
        })
}

/// The union of an account: the platform under which it is stored, and its id.
fn union(data: &Value) -> Option<(String, &str)> {
    let text = |key: &str| data.get(key)?.as_str().filter(|text| !text.is_empty());
    let (platform, id) = (text("platform")?, text("unionid")?);
    let legal = check_platform(platform).is_ok() && id.len() <= IDENTITY_BYTES_MAX;
    legal.then(|| (format!("_{platform}_unionid"), id))
}

/// Reads `main_account`: text in the guide's example, a boolean in SDKs.
fn is_main_account(data: &Value) -> bool {
    match data.get("main_account") {
        Some(Value::Bool(main)) => *main,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

fn check_platform(name: &str) -> Result<(), CloudError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    Err(CloudError::malformed(format!(
        "'{name}' is not a valid platform name: letters, digits, '_' and '-'."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "so that a literal can be given")]
    fn parse(value: Value) -> Result<AuthData, CloudError> {
        AuthData::parse(&value)
    }

    fn paths(identities: &[Identity]) -> Vec<String> {
        identities
            .iter()
            .map(|identity| format!("{}={}", identity.path, identity.value))
            .collect()
    }

    #[test]
    fn identity_key_depends_on_platform() {
        let data = parse(json!({
            "weixin": {"openid": "o", "uid": "ignored"}, "qq": {"uid": "q"}, "weibo": {"uid": 7},
            "lc_weapp": {"session_key": "k", "expires_in": 7200, "openid": "w"}, "lc_qqapp": {"uid": "u"},
            "weixin_app": {"openid": "o2"}, "anonymous": {"id": "a"}, "_weixin_unionid": {"uid": "somebody"}, "gone": null
        }))
        .unwrap();
        assert_eq!(
            paths(&data.identities()),
            [
                "authData.weixin.openid=\"o\"",
                "authData.qq.uid=\"q\"",
                "authData.weibo.uid=7",
                "authData.lc_weapp.openid=\"w\"",
                "authData.lc_qqapp.uid=\"u\"",
                "authData.weixin_app.openid=\"o2\"",
                "authData.anonymous.id=\"a\""
            ]
        );
        for (bad, code) in [
            (json!({"weixin": {"id": "x"}}), 250),
            (json!({"other": {"id": "x"}}), 250),
            (json!({"anonymous": {"uid": "x"}}), 250),
            (json!({"other": {"uid": ""}}), 250),
            (json!({"other": {"uid": {"$ne": 1}}}), 250),
            (json!({"good": {"uid": "1"}, "other": {}}), 250),
            (json!({"other": 7}), 107),
            (json!({"a.b": {"uid": "x"}}), 107),
            (json!([]), 107),
        ] {
            let refusal = parse(bad.clone()).and_then(|data| data.require_identities());
            assert_eq!(refusal.unwrap_err().code.0, code, "{bad}");
        }
        assert_eq!(data.require_identities(), Ok(()));
    }

    #[test]
    fn code_without_identity_is_refused() {
        let text = |data: Value| {
            let refusal = parse(json!({"lc_weapp": data})).unwrap().require_identities();
            refusal.unwrap_err().message
        };
        assert!(text(json!({"code": "c"})).contains("the app's hook onAuthData can"));
        assert!(!text(json!({})).contains("onAuthData"));
    }

    #[test]
    fn main_account_stores_union() {
        let account = |main: Value| {
            let data = json!({"w": {"uid": "1", "platform": "weixin", "unionid": "u", "main_account": main}});
            parse(data).unwrap()
        };
        for main in [json!(true), json!("true")] {
            let main = account(main);
            assert_eq!(main.stored()["_weixin_unionid"], json!({"uid": "u"}));
            assert_eq!(
                paths(&main.claims()),
                ["authData.w.uid=\"1\"", "authData._weixin_unionid.uid=\"u\""]
            );
        }
        for side in [json!(false), json!("false"), json!(1), Value::Null] {
            let side = account(side);
            assert!(!side.stored().contains_key("_weixin_unionid"));
            assert_eq!(
                paths(&side.identities()),
                ["authData.w.uid=\"1\"", "authData._weixin_unionid.uid=\"u\""]
            );
            assert_eq!(paths(&side.claims()), ["authData.w.uid=\"1\""]);
        }
    }

    #[test]
    fn update_links_and_unlinks_platforms() {
        let body: crate::model::Document = serde_json::from_value(json!({
            "n": 1, "authData": {"w": {"uid": "1"}, "gone": null}
        }))
        .unwrap();
        let mut update = Update::parse(&body).unwrap();
        let (links, unlinks) = AuthData::take(&mut update).unwrap().unwrap();
        assert_eq!(update, Update::new().set("n", 1));
        assert_eq!(links.to_value(), json!({"w": {"uid": "1"}}));
        assert_eq!(unlinks, [Unlink::Platform("gone".into())]);

        let take = |body: Value| {
            let body: crate::model::Document = serde_json::from_value(body).unwrap();
            AuthData::take(&mut Update::parse(&body).unwrap())
        };
        let (links, unlinks) = take(json!({"authData.w": {"__op": "Delete"}})).unwrap().unwrap();
        assert!(links.is_empty());
        assert_eq!(unlinks, [Unlink::Platform("w".into())]);
        assert_eq!(
            take(json!({"authData": {"__op": "Delete"}})).unwrap().unwrap().1,
            [Unlink::All]
        );
        assert_eq!(take(json!({"n": 1})).unwrap(), None);
        for (bad, code) in [
            (json!({"authData.w.uid": "2"}), 119),
            (json!({"authData": {"__op": "Increment", "amount": 1}}), 111),
            (json!({"authData": 7}), 111),
        ] {
            assert_eq!(take(bad.clone()).unwrap_err().code.0, code, "{bad}");
        }
    }

    #[test]
    fn null_platform_is_unlinked() {
        let take = |body: Value| {
            let body: crate::model::Document = serde_json::from_value(body).unwrap();
            let taken = AuthData::take(&mut Update::parse(&body).unwrap());
            let (links, unlinks) = taken.unwrap().unwrap();
            (links.to_value(), unlinks)
        };
        let gone = vec![Unlink::Platform("w".into())];
        assert_eq!(take(json!({"authData.w": null})), (json!({}), gone));
        let linked = json!({"w": {"uid": "1"}});
        assert_eq!(take(json!({"authData.w": {"uid": "1"}})), (linked, vec![]));
        assert_eq!(take(json!({"authData": null})), (json!({}), vec![Unlink::All]));
    }

    #[test]
    fn anonymous_platform_is_not_named() {
        let says = |data: Value| {
            let data = parse(data).unwrap();
            (data.is_empty(), data.is_named())
        };
        assert_eq!(says(json!({})), (true, false));
        assert_eq!(says(json!({"anonymous": {"id": "a"}})), (false, false));
        assert_eq!(says(json!({"w": {"uid": "1"}})), (false, true));
        assert_eq!(
            says(json!({"anonymous": {"id": "a"}, "w": {"uid": "1"}})),
            (false, true)
        );
    }

    #[test]
    fn platforms_and_identities_are_limited() {
        let platforms = |count: usize| {
            let platforms = (0..count).map(|n| (format!("p{n}"), json!({"uid": "1"})));
            parse(Value::Object(platforms.collect()))
        };
        assert!(platforms(PLATFORMS_MAX).is_ok());
        assert_eq!(platforms(PLATFORMS_MAX + 1).unwrap_err().code.0, 107);
        let union = |platform: &str, id: &str| {
            let account = json!({"uid": "1", "platform": platform, "unionid": id, "main_account": true});
            parse(json!({"w": account})).unwrap().identities().len() == 2
        };
        assert!(union("weixin", &"u".repeat(IDENTITY_BYTES_MAX)));
        assert!(!union("weixin", &"u".repeat(IDENTITY_BYTES_MAX + 1)));
        assert!(!union("wei.xin", "u"));
        assert!(!union("weixin", ""));
    }
}
