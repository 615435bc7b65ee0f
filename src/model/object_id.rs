//! Identifiers of objects.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{CloudError, ErrorCode, Timestamp};

/// An `objectId`, unique within its class. Ids made by the server have 24 lower-case hexadecimal digits, as
/// MongoDB's `ObjectId`: 4 bytes of the second of creation, 5 random bytes of the process, a counter of 3 bytes.
/// Imported ids are any text of 1 to 64 letters, digits, `_` or `-`. The ids made by one process sort by creation,
/// also within a second.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ObjectId(Arc<str>);

impl ObjectId {
    /// Maximum length in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// Builds an id from the second of `now`, the random bytes of the process and the lowest 3 bytes of its counter.
    #[must_use]
    pub fn from_parts(now: Timestamp, process: [u8; 5], count: u32) -> Self {
        let second = u32::try_from(now.as_millis().div_euclid(1000).rem_euclid(1 << 32)).unwrap_or(0);
        let [a, b, c, d, e] = process;
        let process = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        Self(format!("{second:08x}{process:010x}{:06x}", count & 0xff_ffff).into())
    }

    /// Parses an id from a request.
    ///
    /// # Errors
    /// [`ErrorCode::MISSING_OBJECT_ID`] if it is empty, too long or contains another character.
    pub fn parse(text: &str) -> Result<Self, CloudError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > Self::LENGTH_MAX || !text.bytes().all(legal) {
            return Err(CloudError::new(
                ErrorCode::MISSING_OBJECT_ID,
                "Missing object id.",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({})", self.0)
    }
}

impl AsRef<str> for ObjectId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ObjectId {
    type Error = CloudError;
    fn try_from(text: String) -> Result<Self, CloudError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_id_contains_second_of_creation() {
        let id = |millis: i64| {
            let now = Timestamp::from_millis(millis);
            ObjectId::from_parts(now, [1, 2, 3, 4, 255], 0xab06_07ff)
        };
        assert_eq!(id(0x5f00_0000 * 1000 + 999).as_str(), "5f00000001020304ff0607ff");
        assert_eq!(id(0).as_str(), "0000000001020304ff0607ff");
        assert_eq!(ObjectId::parse(id(0).as_str()), Ok(id(0)));
    }

    #[test]
    fn object_id_is_validated() {
        let longest = "a".repeat(ObjectId::LENGTH_MAX);
        for text in ["a", "A_b-9", &longest] {
            let id = ObjectId::parse(text).unwrap();
            assert_eq!((id.as_str(), id.as_ref()), (text, text));
        }
        let too_long = format!("{longest}a");
        for text in ["", "a b", "a.b", "a/b", "文", &too_long] {
            let error = ObjectId::parse(text).unwrap_err();
            assert_eq!(error.code, ErrorCode::MISSING_OBJECT_ID, "{text}");
        }
    }
}
