//! Queries and counts.

use crate::client::answer::element;
use crate::client::batch::batch;
use crate::client::request::{Request, document, encode};
use crate::client::{ClientError, Idempotent, Objects};
use crate::model::{Document, Filter, Query, Value};
use crate::store::Found;

/// Encoded characters of a query's parameters from which on it is sent through `/batch`; the JavaScript SDK's number.
const PARAMETERS_LENGTH_MAX: usize = 2000;

impl Objects<'_> {
    /// Reads what matches, at most `query.limit` objects and never more than 1000. Repeated as the policy says.
    ///
    /// A query whose parameters are long is sent through `/batch`, as the official SDKs do. LeanCloud cuts a list off
    /// silently at about 6 MB.
    ///
    /// # Errors
    /// [`ClientError`]; 101 where there is no such class.
    ///
    /// ```no_run
    /// # use paylog::{client::Client, model::{ClassName, Filter, Query}};
    /// # async fn example(client: Client) -> anyhow::Result<()> {
    /// let query = Query::new(Filter::all().eq("done", false)).order_by("-createdAt").limit(20);
    /// let found = client.objects(&ClassName::parse("Todo")?).query(&query).await?;
    /// println!("{} rows", found.results.len());
    /// # Ok(()) }
    /// ```
    pub async fn query(&self, query: &Query) -> Result<Found, ClientError> {
        let path = format!("/1.1/classes/{}", self.class);
        let mut query = query.clone();
        query.limit = query.limit.min(Query::LIMIT_MAX);
        let parameters = query.to_parameters();
        let long = batch_parameters(&query, &parameters);
        if encode(&long.to_string()).len() <= PARAMETERS_LENGTH_MAX {
            let request = Request::get(path).with_query(parameters);
            return self.client.send(&request).await.read(Idempotent::Yes, found);
        }
        let wrapped = document([
            ("method", Value::from("GET")),
            ("path", Value::from(path)),
            ("params", long),
        ]);
        let request = batch(vec![wrapped.into_value()], Idempotent::Yes);
        let answered = self
            .client
            .send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Array(mut elements) if elements.len() == 1 => {
                    match element(elements.pop().unwrap_or_default())? {
                        Ok(body) => found(body).map(Ok),
                        Err(error) => Ok(Err(error)),
                    }
                }
                _ => Err("the answer does not hold one element".to_owned()),
            })?;
        answered.map_err(ClientError::of_read)
    }

    /// Counts what matches.
    ///
    /// # Errors
    /// As [`Objects::query`].
    pub async fn count(&self, filter: &Filter) -> Result<u64, ClientError> {
        let query = Query {
            count: true,
            ..Query::new(filter.clone()).limit(0)
        };
        let found = self.query(&query).await?;
        found
            .count
            .ok_or_else(|| ClientError::undecodable("the answer holds no count"))
    }
}

/// The parameters as an element of a batch carries them: `where` an object, numbers numbers.
fn batch_parameters(query: &Query, parameters: &[(&'static str, String)]) -> Value {
    let typed = |key: &str, text: &str| match key {
        "where" => query.filter.to_value(),
        "limit" | "skip" | "count" => text
            .parse::<u64>()
            .map_or_else(|_| Value::from(text), Value::from),
        "returnACL" => Value::Bool(text == "true"),
        _ => Value::from(text),
    };
    let parameters: Document = parameters
        .iter()
        .map(|(key, text)| ((*key).to_owned(), typed(key, text)))
        .collect();
    parameters.into_value()
}

/// `{"results": […], "count"?}`.
pub(super) fn found(body: Value) -> Result<Found, String> {
    let Value::Object(mut body) = body else {
        return Err("the answer is no object".to_owned());
    };
    let count = match body.get("count") {
        None => None,
        Some(count) => Some(count.as_u64().ok_or("the answer's count is no number")?),
    };
    let Some(Value::Array(rows)) = body.shift_remove("results") else {
        return Err("the answer holds no results".to_owned());
    };
    let results = rows.into_iter().map(|row| match row {
        Value::Object(fields) => Ok(Document(fields)),
        _ => Err("a row of the answer is no object".to_owned()),
    });
    Ok(Found {
        results: results.collect::<Result<_, _>>()?,
        count,
    })
}
