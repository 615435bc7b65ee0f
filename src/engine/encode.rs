//! Encoding of class objects in parameters and results.
//!
//! Through `/functions` an object is sent as its fields. Through `/call` it also has `__type` and `className`.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{ClassName, CloudError, Document, Value};

/// Encoding of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Encoding {
    /// `/functions`.
    Plain,
    /// `/call`.
    Rpc,
}

thread_local! {
    /// True while this thread serialises a plain result.
    static IS_PLAIN: Cell<bool> = const { Cell::new(false) };
}

/// Serialises a result.
///
/// # Errors
/// A value that is not JSON.
pub(crate) fn to_json<T: Serialize>(value: &T, encoding: Encoding) -> serde_json::Result<Vec<u8>> {
    match encoding {
        Encoding::Plain => {
            /// Resets the flag, also if the app's `Serialize` panics.
            struct Reset;
            impl Drop for Reset {
                fn drop(&mut self) {
                    IS_PLAIN.set(false);
                }
            }
            IS_PLAIN.set(true);
            let _reset = Reset;
            serde_json::to_vec(value)
        }
        Encoding::Rpc => {
            let mut value = serde_json::to_value(value)?;
            if let Some(result) = value.get_mut("result") {
                mark_pointers(result, false);
            }
            serde_json::to_vec(&value)
        }
    }
}

/// Turns objects inside a map into pointers that carry their fields, as LeanCloud's runtimes do.
fn mark_pointers(value: &mut Value, in_map: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| mark_pointers(item, in_map)),
        Value::Object(fields) => match fields.get_mut("__type") {
            Some(Value::String(kind)) if kind == "Object" && in_map => "Pointer".clone_into(kind),
            Some(Value::String(_)) => {}
            _ => fields.values_mut().for_each(|field| mark_pointers(field, true)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An object of a class, in the parameters or the result of a function. Dereferences to its fields: a struct of your
/// own, or a [`Document`].
///
/// Clients send it through `/call` (`AV.Cloud.rpc`). It is sent back there with `__type` and `className`, and through
/// `/functions` as its fields alone.
///
/// ```
/// use paylog::engine::{ClassObject, Params};
/// use paylog::model::CloudError;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Review {
///     stars: u8,
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Praise {
///     review: ClassObject<Review>,
/// }
///
/// async fn praise(Params(asked): Params<Praise>) -> Result<ClassObject<Review>, CloudError> {
///     let mut review = asked.review;
///     review.stars = 5;
///     Ok(review)
/// }
/// # let _ = paylog::engine::App::<()>::new().function("praise", praise);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassObject<T = Document> {
    /// Its class.
    pub class: ClassName,
    /// Its fields.
    pub fields: T,
}

impl<T> ClassObject<T> {
    /// An object of that class.
    ///
    /// # Errors
    /// 103 if the class name is invalid.
    pub fn new(class: &str, fields: T) -> Result<Self, CloudError> {
        Ok(Self {
            class: ClassName::parse(class)?,
            fields,
        })
    }
}

impl<T> Deref for ClassObject<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.fields
    }
}

impl<T> DerefMut for ClassObject<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.fields
    }
}

impl<T: Serialize> Serialize for ClassObject<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Typed<'a, T> {
            #[serde(flatten)]
            fields: &'a T,
            #[serde(rename = "__type")]
            kind: &'static str,
            #[serde(rename = "className")]
            class: &'a ClassName,
        }
        if IS_PLAIN.get() {
            return self.fields.serialize(serializer);
        }
        let typed = Typed {
            fields: &self.fields,
            kind: "Object",
            class: &self.class,
        };
        typed.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ClassObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Document::deserialize(deserializer)?;
        let kind = fields.shift_remove("__type");
        let is_object = kind
            .as_ref()
            .and_then(Value::as_str)
            .is_some_and(|kind| matches!(kind, "Object" | "Pointer"));
        let class = fields.shift_remove("className");
        let class = class
            .as_ref()
            .and_then(Value::as_str)
            .filter(|_| is_object)
            .ok_or_else(|| D::Error::custom("an object with \"__type\" and \"className\" is expected"))?;
        Ok(Self {
            class: ClassName::parse(class).map_err(D::Error::custom)?,
            fields: T::deserialize(fields.into_value()).map_err(D::Error::custom)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Body<T> {
        result: T,
    }

    fn written<T: Serialize>(result: T, encoding: Encoding) -> Value {
        serde_json::from_slice(&to_json(&Body { result }, encoding).unwrap()).unwrap()
    }

    fn post() -> ClassObject {
        let fields =
            json!({"title": "t", "owner": {"__type": "Pointer", "className": "_User", "objectId": "u"}});
        ClassObject::new("Post", serde_json::from_value(fields).unwrap()).unwrap()
    }

    #[test]
    fn object_has_its_type_through_call_only() {
        let fields =
            json!({"title": "t", "owner": {"__type": "Pointer", "className": "_User", "objectId": "u"}});
        let typed = |kind: &str| {
            let mut typed = fields.clone();
            typed["__type"] = kind.into();
            typed["className"] = "Post".into();
            typed
        };
        assert_eq!(written(post(), Encoding::Plain), json!({"result": fields}));
        assert_eq!(written(post(), Encoding::Rpc), json!({"result": typed("Object")}));
        assert_eq!(
            written(vec![post(), post()], Encoding::Rpc),
            json!({"result": [typed("Object"), typed("Object")]})
        );
        let map = json!({"post": post(), "all": [post()], "deep": {"post": post()}, "n": 1});
        assert_eq!(
            written(map, Encoding::Rpc),
            json!({"result": {
                "post": typed("Pointer"), "all": [typed("Pointer")], "deep": {"post": typed("Pointer")}, "n": 1,
            }})
        );
        // A plain result leaves no state behind.
        assert_eq!(json!(post()), typed("Object"));
    }

    #[test]
    fn value_without_object_type_is_refused() {
        for value in [
            json!({"title": "t"}),
            json!({"__type": "File", "className": "Post"}),
            json!({"__type": "Object", "className": "1"}),
            json!("x"),
        ] {
            assert!(
                serde_json::from_value::<ClassObject>(value.clone()).is_err(),
                "{value}"
            );
        }
        let back: ClassObject = serde_json::from_value(json!(post())).unwrap();
        assert_eq!(back, post());
    }
}
