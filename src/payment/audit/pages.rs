//! Pages of a class, in the order of ids.

use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::payment::audit::error::AuditError;
use crate::store::{ReadError, Store};

/// Reads a class once, from its first id to its last.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    class: ClassName,
    after: Option<ObjectId>,
    done: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(store: &'a dyn Store, class: &ClassName) -> Self {
        Self {
            store,
            class: class.clone(),
            after: None,
            done: false,
        }
    }

    /// The next documents, by ascending ids; none after the last.
    pub(super) async fn next(&mut self) -> Result<Vec<(ObjectId, Document)>, AuditError> {
        if self.done {
            return Ok(Vec::new());
        }
        let filter = Filter::all().after_id(self.after.as_ref());
        let query = Query::new(filter).order_by("objectId").limit(Query::LIMIT_MAX);
        let found = self.store.find(&self.class, &query).await?;
        self.done = found.len() < usize::try_from(Query::LIMIT_MAX).unwrap_or(usize::MAX);
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
