//! Scans: a whole class, page by page.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream};

use crate::client::request::ApiRequest;
use crate::client::{Client, ClientError, Idempotent, Objects};
use crate::model::{ClassName, Document, Filter, Keys, Query, Value};

/// A scan of all matching objects of a class, in the order of `objectId`. Made by [`Objects::scan`].
///
/// The server keeps the position under a cursor. A cursor lives for ten minutes after the last page, and every page
/// returns a new one. A lost page cannot be requested again: the same request returns the page after it. So only the
/// first page is repeated, and after an error the scan is over: begin a new one.
#[derive(Clone, Debug)]
pub struct Scan {
    client: Client,
    class: ClassName,
    filter: Filter,
    limit: u32,
    keys: Option<Keys>,
    return_acl: bool,
    position: Position,
}

#[derive(Clone, Debug)]
enum Position {
    Start,
    /// The cursor of the next page.
    At(String),
    End,
    /// Unknown after an error.
    Lost,
}

impl Objects<'_> {
    /// Begins a scan of the matching objects. Needs the master key.
    ///
    /// ```no_run
    /// # use paylog::{client::Client, model::{ClassName, Filter}};
    /// # async fn example(client: Client) -> anyhow::Result<()> {
    /// let class = ClassName::parse("Todo")?;
    /// let mut scan = client.as_master()?.objects(&class).scan(Filter::all()).page_size(1000);
    /// while let Some(page) = scan.next_page().await? {
    ///     println!("{} rows", page.len());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn scan(&self, filter: Filter) -> Scan {
        Scan {
            client: self.client.clone(),
            class: self.class.clone(),
            filter,
            limit: Query::LIMIT_DEFAULT,
            keys: None,
            return_acl: false,
            position: Position::Start,
        }
    }
}

impl Scan {
    /// Sets the rows of a page, 1 to 1000; the default is 100.
    #[must_use]
    pub fn page_size(mut self, rows: u32) -> Self {
        self.limit = rows.clamp(1, Query::LIMIT_MAX);
        self
    }

    /// Returns only these fields of the rows.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Returns the `ACL` of each row. On LeanCloud an option of the app must also allow it.
    #[must_use]
    pub fn return_acl(mut self) -> Self {
        self.return_acl = true;
        self
    }

    /// Returns the next page, never empty; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError`]; every call after an error returns [`ClientError::Invalid`], since the position is lost.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Document>>, ClientError> {
        let position = std::mem::replace(&mut self.position, Position::Lost);
        let (cursor, idempotent) = match position {
            Position::Start => (None, Idempotent::Yes),
            Position::At(cursor) => (Some(cursor), Idempotent::No),
            Position::End => {
                self.position = Position::End;
                return Ok(None);
            }
            Position::Lost => {
                let reason = "the position of the scan is lost after an error: begin a new scan";
                return Err(ClientError::Invalid(reason.to_owned()));
            }
        };
        let request = self.request(cursor, idempotent);
        let (rows, cursor) = self.client.send(&request).await.read(idempotent, page)?;
        self.position = match cursor {
            Some(cursor) if !rows.is_empty() => Position::At(cursor),
            _ => Position::End,
        };
        Ok((!rows.is_empty()).then_some(rows))
    }

    /// Returns the rows as a stream, which ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Document, ClientError>> + Send {
        stream::try_unfold((self, VecDeque::new()), |(mut scan, mut rows)| async move {
            if rows.is_empty() {
                rows = scan.next_page().await?.unwrap_or_default().into();
            }
            Ok(rows.pop_front().map(|row| (row, (scan, rows))))
        })
    }

    fn request(&self, cursor: Option<String>, idempotent: Idempotent) -> ApiRequest {
        let query = Query {
            keys: self.keys.clone(),
            return_acl: self.return_acl,
            ..Query::new(self.filter.clone())
        };
        let mut query = query.to_parameters();
        query.push(("scan_key", "objectId".to_owned()));
        query.push(("limit", self.limit.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let path = format!("/1.1/scan/classes/{}", self.class);
        let mut request = ApiRequest::get(path).with_query(query).with_master(true);
        request.idempotent = idempotent;
        request
    }
}

/// Decodes `{"results": […], "cursor": string or null}`.
fn page(mut body: Value) -> Result<(Vec<Document>, Option<String>), String> {
    let cursor = match body.get_mut("cursor").map(Value::take) {
        None | Some(Value::Null) => None,
        Some(Value::String(cursor)) => Some(cursor),
        Some(_) => return Err("the answer's cursor is not a string".to_owned()),
    };
    Ok((super::query::found(body)?.results, cursor))
}
