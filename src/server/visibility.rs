//! What of a stored document its reader gets to see.

use crate::model::user_secrets::is_secret;
use crate::model::{Acl, Class, ClassName, Document, ObjectId, Principal, Value};

/// Who looks, and whether at ACLs too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) principal: &'a Principal,
    pub(super) acl: bool,
}

impl Reader<'_> {
    /// The document as the reader sees it.
    pub(super) fn visible(self, class: &Class, document: Document) -> Document {
        let mut shown = if self.principal.is_master() {
            with_hidden_columns(class, document)
        } else {
            class.visible(document)
        };
        if class.name.as_str() == "_User" {
            let owner = self.principal.user().map(ObjectId::as_str);
            let sees_logins =
                self.principal.is_master() || (owner.is_some() && shown.text("objectId") == owner);
            shown.retain(|key, _| !is_secret(key) && (sees_logins || key != "authData"));
        }
        if !self.acl {
            shown.shift_remove("ACL");
        } else if !shown.contains_key("ACL") {
            // What is stored without an ACL is public, and LeanCloud says so.
            shown.insert("ACL".to_owned(), Acl::public().into_value());
        }
        shown
    }
}

/// The master key sees hidden columns too.
fn with_hidden_columns(class: &Class, mut document: Document) -> Document {
    let hidden: Vec<(String, Value)> = class
        .columns
        .iter()
        .filter(|(_, column)| column.hidden)
        .filter_map(|(name, _)| document.shift_remove_entry(name))
        .collect();
    let mut shown = class.visible(document);
    shown.extend(hidden);
    shown
}

/// The document as hooks see it: everything but the secrets of users.
pub(super) fn for_hook(class: &ClassName, mut document: Document) -> Document {
    if class.as_str() == "_User" {
        document.retain(|key, _| !is_secret(key));
    }
    document
}
