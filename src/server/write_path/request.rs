//! A write as a client asks for it.

use crate::model::{AuthData, ClassName, Document, ObjectId};
use crate::store::files::FileKey;

/// One write of a class.
#[derive(Debug)]
pub(in crate::server) struct WriteRequest {
    pub(in crate::server) class: ClassName,
    pub(in crate::server) change: Change,
    pub(in crate::server) body: Document,
    /// `where`, `fetchWhenSave`, `new`.
    pub(in crate::server) parameters: Document,
}

/// The change that a write makes.
#[derive(Clone, Debug)]
pub(in crate::server) enum Change {
    /// A new object.
    Create,
    /// A new user, known by another platform.
    SignUp(AuthData),
    /// The row of a file that is to be uploaded.
    NewFile(FileKey),
    /// A change of an object.
    Update(ObjectId),
    /// The deletion of objects, one by one.
    Delete(Vec<ObjectId>),
}

impl Change {
    /// The data of the platforms of a sign-up.
    pub(in crate::server) fn auth_data(&self) -> Option<&AuthData> {
        match self {
            Self::SignUp(data) => Some(data),
            _ => None,
        }
    }

    /// The key of a file that is to be uploaded.
    pub(in crate::server) fn file_key(&self) -> Option<&FileKey> {
        match self {
            Self::NewFile(key) => Some(key),
            _ => None,
        }
    }
}
