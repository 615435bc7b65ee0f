//! Reading a whole class, page by page.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream};

use crate::client::request::Request;
use crate::client::{Client, ClientError, Idempotent, Objects};
use crate::model::{ClassName, Document, Filter, Keys, Query, Value};

/// A walk over everything in a class that matches, in the order of `objectId`. Made by [`Objects::scan`].
///
/// The position is kept by the server, under a cursor that lives for ten minutes after the last page and that every
/// page answers anew: a page that was lost on its way cannot be asked for again, since the same request is answered
/// with the page after it. So nothing but the first page is repeated, and after an error the scan is over: begin a
/// new one.
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
    At(String),
    End,
    Lost,
}

impl Objects<'_> {
    /// Begins a walk over what matches. Needs the master key.
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
    /// Rows per page, 1 to 1000; 100 unless said otherwise.
    #[must_use]
    pub fn page_size(mut self, rows: u32) -> Self {
        self.limit = rows.clamp(1, Query::LIMIT_MAX);
        self
    }

    /// Only these fields of the rows.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// With the `ACL` of each row; on LeanCloud an option of the app must allow it, too.
    #[must_use]
    pub fn return_acl(mut self) -> Self {
        self.return_acl = true;
        self
    }

    /// The next page, never empty; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError`]; from then on [`ClientError::Invalid`], since the position is lost.
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

    /// The rows one by one; ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Document, ClientError>> + Send {
        stream::try_unfold((self, VecDeque::new()), |(mut scan, mut rows)| async move {
            if rows.is_empty() {
                rows = scan.next_page().await?.unwrap_or_default().into();
            }
            Ok(rows.pop_front().map(|row| (row, (scan, rows))))
        })
    }

    fn request(&self, cursor: Option<String>, idempotent: Idempotent) -> Request {
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
        let mut request = Request::get(path).with_query(query).with_master(true);
        request.idempotent = idempotent;
        request
    }
}

/// `{"results": […], "cursor": text or null}`.
fn page(mut body: Value) -> Result<(Vec<Document>, Option<String>), String> {
    let cursor = match body.get_mut("cursor").map(Value::take) {
        None | Some(Value::Null) => None,
        Some(Value::String(cursor)) => Some(cursor),
        Some(_) => return Err("the answer's cursor is no text".to_owned()),
    };
    Ok((super::query::found(body)?.results, cursor))
}
