//! A scan in the order of ids that survives lost pages.

use crate::client::{Retry, Scan};
use crate::migration::pull::source::failed;
use crate::migration::pull::{PageRequest, Source, SourceError};
use crate::model::{ClassName, Document, ErrorCode, Filter, Keys, ObjectId};

/// Most starts of one scan.
const SCAN_STARTS_MAX: u32 = 5;

/// A scan of a class in the order of `objectId` that survives a lost page: it starts again, and skips the rows that it
/// returned before.
#[derive(Debug)]
pub struct OrderedScan {
    source: Source,
    class: ClassName,
    filter: Filter,
    keys: Option<Keys>,
    scan: Option<Scan>,
    last: Option<ObjectId>,
    started: u32,
}

impl OrderedScan {
    /// Returns the next rows, never none; `None` at the end.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Document>>, SourceError> {
        loop {
            let scan = self.scan.get_or_insert_with(|| {
                self.started += 1;
                self.source
                    .scan(&self.class, self.filter.clone(), self.keys.clone())
            });
            self.source.acquire().await;
            match scan.next_page().await {
                Ok(None) => return Ok(None),
                Ok(Some(rows)) => {
                    let rows = self.after_last(rows)?;
                    if !rows.is_empty() {
                        return Ok(Some(rows));
                    }
                }
                Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => return Ok(None),
                // A lost page cannot be requested again.
                Err(error) if error.retry() != Retry::Never && self.started < SCAN_STARTS_MAX => {
                    self.scan = None;
                }
                Err(error) => return Err(failed(|| format!("the class {}", self.class))(error)),
            }
        }
    }

    /// Keeps the rows after the last one returned.
    fn after_last(&mut self, rows: Vec<Document>) -> Result<Vec<Document>, SourceError> {
        let wrong = |reason: &str| SourceError::Response {
            what: format!("the class {}", self.class),
            reason: reason.to_owned(),
        };
        let mut fresh = Vec::with_capacity(rows.len());
        let mut before: Option<ObjectId> = None;
        for row in rows {
            let id = row.object_id().ok_or_else(|| wrong("a row has no objectId"))?;
            if before.as_ref().is_some_and(|before| id <= *before) {
                return Err(wrong("the server does not scan in the order of objectId"));
            }
            if self.last.as_ref().is_none_or(|last| id > *last) {
                fresh.push(row);
            }
            before = Some(id);
        }
        if let Some(id) = before
            && self.last.as_ref().is_none_or(|last| id > *last)
        {
            self.last = Some(id);
        }
        Ok(fresh)
    }
}

impl Source {
    /// Begins a scan of the matching objects in the order of `objectId`; `keys` selects the fields.
    #[must_use]
    pub fn ordered_scan(&self, class: &ClassName, filter: Filter, keys: Option<Keys>) -> OrderedScan {
        OrderedScan {
            source: self.clone(),
            class: class.clone(),
            filter,
            keys,
            scan: None,
            last: None,
            started: 0,
        }
    }

    /// Reads the rows of an incremental read's request.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(super) async fn rows(
        &self,
        class: &ClassName,
        request: PageRequest,
    ) -> Result<Vec<Document>, SourceError> {
        match request {
            PageRequest::Page(query) => self.find(class, &query).await,
            PageRequest::Moment(filter) => {
                let mut scan = self.ordered_scan(class, filter, None);
                let mut rows = Vec::new();
                while let Some(page) = scan.next().await? {
                    rows.extend(page);
                }
                Ok(rows)
            }
        }
    }
}
