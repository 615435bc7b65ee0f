//! Access control lists of objects, and the principals that they are checked against.

use serde_json::Map;

use crate::model::{CloudError, Document, ObjectId, Value};

/// An access control list in its wire form: `{"*": {"read": true}, "<user id>": {"write": true}, "role:<name>":
/// {…}}`. Unknown entries are preserved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl(Map<String, Value>);

/// The party on whose behalf a document is read or written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// The master key: everything is allowed.
    Master,
    /// A client: anonymous, or a logged-in user with all roles that hold them, inherited ones included.
    Client {
        /// The session's user.
        user: Option<ObjectId>,
        /// Names of the user's roles, without `role:`.
        roles: Vec<String>,
    },
}

impl Principal {
    /// A client without a session.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::Client {
            user: None,
            roles: Vec::new(),
        }
    }

    /// True for the master key.
    #[must_use]
    pub fn is_master(&self) -> bool {
        matches!(self, Self::Master)
    }

    /// The session's user, if there is one.
    #[must_use]
    pub fn user(&self) -> Option<&ObjectId> {
        match self {
            Self::Master => None,
            Self::Client { user, .. } => user.as_ref(),
        }
    }

    /// The ACL keys that apply to this principal: `*`, the user's id, `role:<name>`. Empty for the master key.
    #[must_use]
    pub fn acl_keys(&self) -> Vec<String> {
        match self {
            Self::Master => Vec::new(),
            Self::Client { user, roles } => std::iter::once("*".to_owned())
                .chain(user.iter().map(ToString::to_string))
                .chain(roles.iter().map(|role| format!("role:{role}")))
                .collect(),
        }
    }

    /// True if the document's ACL lets this principal read it. A document without an ACL is public.
    #[must_use]
    pub fn may_read(&self, document: &Document) -> bool {
        self.allowed(document, "read")
    }

    /// True if the document's ACL lets this principal write it. A document without an ACL is public.
    #[must_use]
    pub fn may_write(&self, document: &Document) -> bool {
        self.allowed(document, "write")
    }

    fn allowed(&self, document: &Document, right: &str) -> bool {
        let (Self::Client { user, roles }, Some(acl)) = (self, document.get("ACL")) else {
            return true;
        };
        let grants =
            |key: &str| acl.get(key).and_then(|rights| rights.get(right)) == Some(&Value::Bool(true));
        grants("*")
            || user.as_ref().is_some_and(|user| grants(user.as_str()))
            || roles.iter().any(|role| grants(&format!("role:{role}")))
    }
}

impl Acl {
    /// The ACL of an object created without one, in a class without a default ACL.
    #[must_use]
    pub fn public() -> Self {
        Self::parse(&serde_json::json!({"*": {"read": true, "write": true}})).unwrap_or(Self(Map::new()))
    }

    /// Only the owner may read, only the master key may write.
    #[must_use]
    pub fn owner_reads(user: &ObjectId) -> Self {
        let rights = Map::from_iter([("read".to_owned(), Value::Bool(true))]);
        Self(Map::from_iter([(user.to_string(), Value::Object(rights))]))
    }

    /// Parses an ACL from a request: an object of objects of booleans.
    ///
    /// # Errors
    /// [`crate::model::ErrorCode::INVALID_ACL`] (123).
    pub fn parse(value: &Value) -> Result<Self, CloudError> {
        let invalid = || CloudError::new(crate::model::ErrorCode::INVALID_ACL, "Invalid ACL.");
        let entries = value.as_object().ok_or_else(invalid)?;
        for rights in entries.values() {
            let rights = rights.as_object().ok_or_else(invalid)?;
            if !rights.values().all(Value::is_boolean) {
                return Err(invalid());
            }
        }
        Ok(Self(entries.clone()))
    }

    /// The wire form.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(user: Option<&str>, roles: &[&str]) -> Principal {
        Principal::Client {
            user: user.map(|user| ObjectId::parse(user).unwrap()),
            roles: roles.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn acl_decides_reading_and_writing() {
        let open = || (true, true);
        let closed = || (false, false);
        for (acl, everyone, user, role) in [
            // An object without an ACL is public.
            (None, open(), open(), open()),
            (
                Some(json!({"*": {"read": true, "write": true}})),
                open(),
                open(),
                open(),
            ),
            (
                Some(json!({"*": {"read": true}})),
                (true, false),
                (true, false),
                (true, false),
            ),
            (
                Some(json!({"u": {"read": true, "write": true}})),
                closed(),
                open(),
                closed(),
            ),
            (
                Some(json!({"u": {"write": true}})),
                closed(),
                (false, true),
                closed(),
            ),
            (
                Some(json!({"role:r": {"read": true}})),
                closed(),
                closed(),
                (true, false),
            ),
            (
                Some(json!({"r": {"read": true}, "role:u": {"read": true}})),
                closed(),
                closed(),
                closed(),
            ),
            (
                Some(json!({"*": {"read": false, "write": "yes"}})),
                closed(),
                closed(),
                closed(),
            ),
            (Some(json!({})), closed(), closed(), closed()),
            (Some(json!(null)), closed(), closed(), closed()),
        ] {
            let document = Document::from_iter(acl.map(|acl| ("ACL".to_owned(), acl)));
            let rights =
                |principal: Principal| (principal.may_read(&document), principal.may_write(&document));
            assert_eq!(rights(Principal::Master), open(), "{document:?}");
            assert_eq!(rights(Principal::anonymous()), everyone, "{document:?}");
            assert_eq!(rights(client(Some("u"), &[])), user, "{document:?}");
            assert_eq!(rights(client(Some("v"), &["q", "r"])), role, "{document:?}");
        }
    }

    #[test]
    fn principal_has_acl_keys() {
        let user = ObjectId::parse("u").unwrap();
        let member = client(Some("u"), &["r", "s"]);
        assert_eq!(member.acl_keys(), ["*", "u", "role:r", "role:s"]);
        assert_eq!((member.user(), member.is_master()), (Some(&user), false));
        let nobody = Principal::anonymous();
        assert_eq!(nobody.acl_keys(), ["*"]);
        assert_eq!((nobody.user(), nobody.is_master()), (None, false));
        let master = Principal::Master;
        assert!(master.acl_keys().is_empty());
        assert_eq!((master.user(), master.is_master()), (None, true));
    }

    #[test]
    fn acl_round_trips() {
        let owner = Acl::owner_reads(&ObjectId::parse("u").unwrap());
        assert_eq!(owner.into_value(), json!({"u": {"read": true}}));
        assert_eq!(
            Acl::public().into_value(),
            json!({"*": {"read": true, "write": true}})
        );
        let unknown = json!({"group:x": {"read": true, "own": false}});
        assert_eq!(Acl::parse(&unknown).unwrap().into_value(), unknown);
        for bad in [
            json!(null),
            json!([]),
            json!({"*": true}),
            json!({"*": {"read": 1}}),
        ] {
            assert_eq!(Acl::parse(&bad).unwrap_err().code.0, 123, "{bad}");
        }
    }
}
