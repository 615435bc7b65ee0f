//! The columns of a stored document that its reader sees.

use crate::model::user_secrets::is_secret;
use crate::model::{Acl, Class, ClassName, Document, ObjectId, Principal, Value};

/// A reader of documents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) principal: &'a Principal,
    /// True if the reader asks for ACLs.
    pub(super) acl: bool,
}

impl Reader<'_> {
    /// Returns the columns that the reader sees. Nobody sees the secrets of a user; the user alone and the master key see
    /// `authData`.
    pub(super) fn visible(self, class: &Class, document: Document) -> Document {
        let mut visible = if self.principal.is_master() {
            with_hidden_columns(class, document)
        } else {
            class.visible(document)
        };
        if class.name.as_str() == "_User" {
            let owner = self.principal.user().map(ObjectId::as_str);
            let sees_logins =
                self.principal.is_master() || (owner.is_some() && visible.text("objectId") == owner);
            visible.retain(|key, _| !is_secret(key) && (sees_logins || key != "authData"));
        }
        if !self.acl {
            visible.shift_remove("ACL");
        } else if !visible.contains_key("ACL") {
            // An object without an ACL is public, and LeanCloud says so.
            visible.insert("ACL".to_owned(), Acl::public().into_value());
        }
        visible
    }
}

/// Returns all columns, hidden ones too, for the master key.
fn with_hidden_columns(class: &Class, mut document: Document) -> Document {
    let hidden: Vec<(String, Value)> = class
        .columns
        .iter()
        .filter(|(_, column)| column.hidden)
        .filter_map(|(name, _)| document.shift_remove_entry(name))
        .collect();
    let mut visible = class.visible(document);
    visible.extend(hidden);
    visible
}

/// Returns the document for hooks: all columns but the secrets of users.
pub(super) fn for_hook(class: &ClassName, mut document: Document) -> Document {
    if class.as_str() == "_User" {
        document.retain(|key, _| !is_secret(key));
    }
    document
}
