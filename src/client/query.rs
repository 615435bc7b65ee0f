//! Queries and counts.

use crate::client::batch::batch;
use crate::client::request::{ApiRequest, document, encode};
use crate::client::response::{BatchElement, batch_element};
use crate::client::{ClientError, Idempotent, Objects};
use crate::model::{Document, Filter, Query, Value};
use crate::store::Found;

/// Longest encoded parameters of a query, in characters; a longer query is sent through `/batch`. The JavaScript SDK's
/// number.
const PARAMETERS_LENGTH_MAX: usize = 2000;

impl Objects<'_> {
    /// Reads the matching objects, at most `query.limit` and never more than 1000. Repeated by the policy.
    ///
    /// A query with long parameters is sent through `/batch`, as the official SDKs do. LeanCloud silently cuts a list off
    /// at about 6 MB.
    ///
    /// # Errors
    /// [`ClientError`]; 101 if the class does not exist.
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
            let request = ApiRequest::get(path).with_query(parameters);
            return self.client.send(&request).await.read(Idempotent::Yes, found);
        }
        let wrapped = document([
            ("method", Value::from("GET")),
            ("path", Value::from(path)),
            ("params", long),
        ]);
        let request = batch(vec![wrapped.into_value()], Idempotent::Yes);
        let element = self
            .client
            .send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Array(mut elements) if elements.len() == 1 => {
                    Ok(batch_element(elements.pop().unwrap_or_default()))
                }
                _ => Err("the answer does not hold one element".to_owned()),
            })?;
        match element {
            BatchElement::Success(body) => found(body).map_err(ClientError::undecodable),
            BatchElement::Error(error) => Err(ClientError::of_read(error)),
            BatchElement::Malformed(reason) => Err(ClientError::undecodable(reason)),
        }
    }

    /// Counts the matching objects.
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

/// The parameters as in an element of a batch: `where` is an object, numbers are numbers.
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

/// Decodes `{"results": […], "count"?}`.
pub(super) fn found(body: Value) -> Result<Found, String> {
    let Value::Object(mut body) = body else {
        return Err("the answer is not an object".to_owned());
    };
    let count = match body.get("count") {
        None => None,
        Some(count) => Some(count.as_u64().ok_or("the answer's count is not a number")?),
    };
    let Some(Value::Array(rows)) = body.shift_remove("results") else {
        return Err("the answer holds no results".to_owned());
    };
    let results = rows.into_iter().map(|row| match row {
        Value::Object(fields) => Ok(Document(fields)),
        _ => Err("a row of the answer is not an object".to_owned()),
    });
    Ok(Found {
        results: results.collect::<Result<_, _>>()?,
        count,
    })
}
