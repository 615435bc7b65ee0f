//! Paging by id: all matching documents of a class in the order of their ids, a page at a time, in bounded memory.

use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::store::{ReadError, Store};

/// The query for one page: the first [`Query::LIMIT_MAX`] matching documents after `last`, by ascending ids.
/// A caller with smaller pages sets its own limit, and does not ask [`is_last_page`].
#[must_use]
pub fn page_query(filter: Filter, last: Option<&ObjectId>) -> Query {
    Query::new(filter.after_id(last))
        .order_by("objectId")
        .limit(Query::LIMIT_MAX)
}

/// True if no page follows a page of that many documents.
#[must_use]
pub fn is_last_page(documents: usize) -> bool {
    documents < Query::LIMIT_MAX as usize
}

/// The pages of a class. Documents that are created behind the current page while it is read appear later; those that
/// are created before it do not.
#[derive(Debug)]
pub struct IdPages<'a, S: ?Sized> {
    store: &'a S,
    class: &'a ClassName,
    filter: Filter,
    last: Option<ObjectId>,
    is_done: bool,
}

impl<'a, S: Store + ?Sized> IdPages<'a, S> {
    /// The pages of the documents of `class` that match `filter`.
    #[must_use]
    pub fn new(store: &'a S, class: &'a ClassName, filter: Filter) -> Self {
        Self {
            store,
            class,
            filter,
            last: None,
            is_done: false,
        }
    }

    /// Starts after this id.
    #[must_use]
    pub fn after(mut self, last: Option<ObjectId>) -> Self {
        self.last = last;
        self
    }

    /// Returns the next page, never empty; `None` after the last.
    ///
    /// # Errors
    /// [`ReadError`]; the same page can be requested again.
    pub async fn next(&mut self) -> Result<Option<Vec<Document>>, ReadError> {
        if self.is_done {
            return Ok(None);
        }
        let query = page_query(self.filter.clone(), self.last.as_ref());
        let page = self.store.find(self.class, &query).await?;
        let last = page.last().and_then(Document::object_id);
        self.is_done = is_last_page(page.len()) || last.is_none();
        self.last = last;
        Ok((!page.is_empty()).then_some(page))
    }
}
