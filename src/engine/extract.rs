//! Extractors: types of a handler's arguments.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::engine::call::{Call, Meta};
use crate::engine::hook_payload::HookPayload;
use crate::model::{ClassName, CloudError, Document, ErrorCode, ObjectId, Value};

/// An extractor: a type that a handler can have as an argument. `S` is the app's state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a cloud function or hook",
    label = "use Params<T>, CurrentUser, Option<CurrentUser>, HookObject, Object<T>, Cloud, Meta or State<S>"
)]
pub trait FromCall<S>: Sized {
    /// Extracts the value from the call.
    ///
    /// # Errors
    /// The caller's error if the value is absent or malformed. The handler does not run then.
    fn from_call(call: &Call, state: &S) -> Result<Self, CloudError>;
}

/// The app's state.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<S>(pub S);

impl<S: Clone> FromCall<S> for State<S> {
    fn from_call(_: &Call, state: &S) -> Result<Self, CloudError> {
        Ok(Self(state.clone()))
    }
}

impl<S> FromCall<S> for Meta {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        Ok(call.meta.clone())
    }
}

/// Parameters of a function. Unknown ones are ignored; a missing or malformed one is refused by name (107).
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<T>(pub T);

impl<S, T: DeserializeOwned> FromCall<S> for Params<T> {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        read(&call.params, "parameter").map(Self)
    }
}

/// The logged-in user; 401 (code 211) if nobody is logged in. `Option<CurrentUser>` admits everybody.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    id: ObjectId,
    user: Arc<Document>,
    session_token: Option<SecretString>,
}

impl CurrentUser {
    /// Id of the user.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// The user, as `users/me` returned it at the start of the call.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.user
    }

    /// Session token of the call, if it has one.
    #[must_use]
    pub fn session_token(&self) -> Option<&SecretString> {
        self.session_token.as_ref()
    }

    pub(crate) fn shared(&self) -> Arc<Document> {
        Arc::clone(&self.user)
    }
}

impl<S> FromCall<S> for CurrentUser {
    fn from_call(call: &Call, state: &S) -> Result<Self, CloudError> {
        Option::<Self>::from_call(call, state)?.ok_or_else(|| {
            let text = "Not logged in: this function needs the session token of a user (X-LC-Session).";
            CloudError::new(ErrorCode::USER_NOT_FOUND, text).with_status(401)
        })
    }
}

impl<S> FromCall<S> for Option<CurrentUser> {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        let Some(user) = &call.user else {
            return Ok(None);
        };
        let id = user.object_id().ok_or_else(|| {
            CloudError::new(ErrorCode::MISSING_OBJECT_ID, "The user has no objectId.").with_status(500)
        })?;
        Ok(Some(CurrentUser {
            id,
            user: Arc::clone(user),
            session_token: call.meta.session_token.clone(),
        }))
    }
}

/// Object of a hook, untyped. Dereferences to its fields. If a `before_save` hook returns it, these fields are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct HookObject(HookPayload);

impl HookObject {
    /// The object's class.
    #[must_use]
    pub fn class(&self) -> &ClassName {
        &self.0.class
    }

    /// Update hooks: keys that the request changes. Empty otherwise.
    #[must_use]
    pub fn updated_keys(&self) -> &[String] {
        &self.0.updated_keys
    }

    /// Returns the fields alone.
    #[must_use]
    pub fn into_document(self) -> Document {
        self.0.fields
    }
}

impl Deref for HookObject {
    type Target = Document;
    fn deref(&self) -> &Document {
        &self.0.fields
    }
}

impl DerefMut for HookObject {
    fn deref_mut(&mut self) -> &mut Document {
        &mut self.0.fields
    }
}

impl<S> FromCall<S> for HookObject {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        object(call).cloned().map(Self)
    }
}

impl<S> FromCall<S> for Option<HookObject> {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        Ok(call.object.clone().map(HookObject))
    }
}

/// Object of a hook, as a `T`. If a `before_save` hook returns it, the fields of `T` that the hook changed are stored with
/// their new values, and all others as the client sent them.
#[derive(Clone)]
pub struct Object<T> {
    value: T,
    original: Arc<HookPayload>,
}

impl<T> Object<T> {
    /// The object's class.
    #[must_use]
    pub fn class(&self) -> &ClassName {
        &self.original.class
    }

    /// Update hooks: keys that the request changes. Empty otherwise.
    #[must_use]
    pub fn updated_keys(&self) -> &[String] {
        &self.original.updated_keys
    }

    /// Returns the object without its class.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: DeserializeOwned + serde::Serialize> Object<T> {
    /// Returns the fields to store.
    pub(crate) fn into_fields(self) -> Result<Document, CloudError> {
        let fields = |value: &T| match serde_json::to_value(value) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(CloudError::other("The hook's object is not a JSON object.").with_status(500)),
            Err(error) => Err(CloudError::other(format!("The hook's object: {error}")).with_status(500)),
        };
        // Compared with the original as a `T`, so that a default of `T` does not count as a change.
        let before = fields(&read::<T>(&self.original.fields, "field")?)?;
        let after = fields(&self.value)?;
        let mut stored = self.original.fields.clone();
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            stored.shift_remove(key);
        }
        for (key, value) in after {
            if before.get(&key) != Some(&value) {
                stored.insert(key, value);
            }
        }
        Ok(stored)
    }
}

impl<T> Deref for Object<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Object<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl<S, T: DeserializeOwned> FromCall<S> for Object<T> {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        let original = object(call)?;
        Ok(Self {
            value: read(&original.fields, "field")?,
            original: Arc::new(original.clone()),
        })
    }
}

/// `onAuthData`: the user's `authData` by platform.
#[derive(Clone, Debug)]
pub struct AuthData(pub Document);

impl<S> FromCall<S> for AuthData {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        let data = call.auth_data.clone();
        data.map(Self)
            .ok_or_else(|| CloudError::new(ErrorCode::INVALID_JSON, "The call has no authData."))
    }
}

fn object(call: &Call) -> Result<&HookPayload, CloudError> {
    call.object
        .as_ref()
        .ok_or_else(|| CloudError::new(ErrorCode::INVALID_JSON, "The call has no object."))
}

/// Deserialises a document as a `T`, without a copy of fields that `T` does not have.
fn read<T: DeserializeOwned>(document: &Document, what: &str) -> Result<T, CloudError> {
    let fields = &document.0;
    T::deserialize(fields).map_err(|error| {
        // Deserialised again, only on failure, to find the path of the error.
        let place = serde_path_to_error::deserialize::<_, T>(fields).err();
        let path = place
            .map(|error| error.path().to_string())
            .filter(|path| path != ".");
        let text = match path {
            Some(path) => format!("Invalid {what} '{path}': {error}"),
            None => format!("Invalid {what}s: {error}"),
        };
        CloudError::new(ErrorCode::INVALID_JSON, text)
    })
}
