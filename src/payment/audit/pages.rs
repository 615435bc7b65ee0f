//! Pages of a class, in the order of ids.

use crate::model::{ClassName, Document, Filter, ObjectId};
use crate::payment::audit::error::AuditError;
use crate::store::paging::IdPages;
use crate::store::{ReadError, Store};

/// Reads a class once, from its first id to its last, and checks the order.
pub(super) struct Pages<'a> {
    pages: IdPages<'a, dyn Store + 'a>,
    class: &'a ClassName,
    after: Option<ObjectId>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(store: &'a dyn Store, class: &'a ClassName) -> Self {
        Self {
            pages: IdPages::new(store, class, Filter::all()),
            class,
            after: None,
        }
    }

    /// The next documents, by ascending ids; none after the last.
    pub(super) async fn next(&mut self) -> Result<Vec<(ObjectId, Document)>, AuditError> {
        let found = self.pages.next().await?.unwrap_or_default();
        let mut page = Vec::with_capacity(found.len());
        for document in found {
            // Postings are in this order: a document out of order would seem to differ.
            let id = document.object_id().filter(|id| self.after.as_ref() < Some(id));
            let Some(id) = id else {
                let why = format!("the store does not return {} in the order of ids", self.class);
                return Err(ReadError::Unavailable(why).into());
            };
            self.after = Some(id.clone());
            page.push((id, document));
        }
        Ok(page)
    }
}
