//! Paging of a relation: all links of a class's relation column, a page at a time.

use crate::model::{ClassName, Query};
use crate::store::ReadError;
use crate::store::load::{Link, Loader};

/// The pages of a relation's links.
pub(super) struct LinkPages<'a> {
    store: &'a dyn Loader,
    class: &'a ClassName,
    key: &'a str,
    last: Option<Link>,
    is_done: bool,
}

impl<'a> LinkPages<'a> {
    pub(super) fn new(store: &'a dyn Loader, class: &'a ClassName, key: &'a str) -> Self {
        Self {
            store,
            class,
            key,
            last: None,
            is_done: false,
        }
    }

    /// Returns the next links, never none; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Link>>, ReadError> {
        if self.is_done {
            return Ok(None);
        }
        let links = self
            .store
            .links(self.class, self.key, self.last.as_ref(), Query::LIMIT_MAX)
            .await?;
        self.is_done = links.len() < Query::LIMIT_MAX as usize;
        self.last = links.last().cloned();
        Ok((!links.is_empty()).then_some(links))
    }
}
