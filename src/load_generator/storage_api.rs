//! The storage API, operation by operation.
//!
//! The server is one with durable writes, or another one that speaks the same API.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::connection::{Connection, Sender, Target};
use super::latency::{Latency, latency, to_f64};
use super::load::Load;
use crate::environment::Environment;

/// Prefix of the measured class; random letters follow, since a running server may have been measured before.
const CLASS: &str = "Bench";

/// Objects that share a value of the indexed column: the result of one query.
const GROUP: u64 = 10;

/// Number of creates in one batch.
const BATCH: u64 = 10;

/// Requests between two updates of the bar: drawing costs more than sending.
const BAR_STEP: u64 = 64;

/// The measurement of one kind of operation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationMeasurement {
    pub(crate) name: &'static str,
    /// Objects per second; a request may concern several.
    pub(crate) per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) latency_ms: Latency,
    /// Processor time of the server per request, in microseconds.
    pub(crate) processor_us: Option<f64>,
}

/// One request.
struct OperationRequest {
    method: Method,
    path: String,
    body: Bytes,
}

impl OperationRequest {
    fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: Bytes::new(),
        }
    }

    fn increment(path: String) -> Self {
        Self {
            method: Method::PUT,
            path,
            body: Bytes::from_static(br#"{"n":{"__op":"Increment","amount":1}}"#),
        }
    }
}

/// Creates a class with an index over one of its columns; returns its name.
async fn make_class(target: &Target, environment: &Environment) -> Result<String> {
    let class = format!("{CLASS}{}", environment.random_text(8));
    let definition = json!({
        "columns": {
            "group": {"type": "String"}, "name": {"type": "String"}, "n": {"type": "Number"}, "tags": {"type": "Array"},
        },
        "indexes": [{"keys": ["group"]}],
    });
    let path = format!("/1.1/schemas/{class}");
    let body = Bytes::from(definition.to_string());
    let mut connection = target.connect().await?;
    connection
        .ask(Method::POST, &path, Sender::Master, body)
        .await
        .context("the class to be measured could not be created")?;
    Ok(class)
}

/// Measures every kind of operation, with `requests` requests of each.
///
/// `processor_seconds` returns the processor time that the server has used so far, if that is known.
///
/// # Errors
/// A response that is not the expected one; a connection that fails.
pub(crate) async fn measure_storage_api(
    load: Load<'_>,
    requests: u64,
    processor_seconds: &dyn Fn() -> Option<f64>,
) -> Result<Vec<OperationMeasurement>> {
    let class = format!(
        "/1.1/classes/{}",
        make_class(load.target, load.environment).await?
    );
    let load = OperationLoad {
        load,
        processor_seconds,
    };
    let (creates, ids) = measure_creates(&load, &class, requests).await?;
    let mut measured = vec![creates];
    let path = |index: u64| -> String {
        // A stride coprime with most counts visits all objects without order.
        let place = usize::try_from(index.wrapping_mul(7_919)).unwrap_or(0) % ids.len();
        format!("{class}/{}", ids.get(place).map_or("", String::as_str))
    };
    let get = |index| OperationRequest::get(path(index));
    measured.push(load.run("reads by id", requests, 1, get, has_object).await?);
    let spread = |index| OperationRequest::increment(path(index));
    measured.push(
        load.run("increments, spread", requests, 1, spread, anything)
            .await?,
    );
    let hot = |_| OperationRequest::increment(path(0));
    measured.push(
        load.run("increments, one object", requests, 1, hot, anything)
            .await?,
    );
    // The objects of the warm-up belong to the first groups, and add none.
    let groups = requests.div_ceil(GROUP);
    let query = |index: u64| {
        let group = index.wrapping_mul(7_919) % groups;
        OperationRequest::get(format!(
            "{class}?limit=10&where=%7B%22group%22%3A%22group+{group}%22%7D"
        ))
    };
    measured.push(
        load.run("indexed queries", requests, 1, query, has_object)
            .await?,
    );
    let batch = |index: u64| OperationRequest {
        method: Method::POST,
        path: "/1.1/batch".to_owned(),
        body: batch_of(index * BATCH, &class),
    };
    let batches = (requests / BATCH).max(1);
    measured.push(
        load.run("objects in batches of 10", batches, BATCH, batch, all_succeeded)
            .await?,
    );
    Ok(measured)
}

/// Measures creates, after a warm-up; returns also the ids of all objects.
async fn measure_creates(
    load: &OperationLoad<'_>,
    class: &str,
    requests: u64,
) -> Result<(OperationMeasurement, Vec<String>)> {
    let ids: RefCell<Vec<String>> = RefCell::default();
    let create = |index| OperationRequest {
        method: Method::POST,
        path: class.to_owned(),
        body: object(index),
    };
    let keep_id = |answer: &[u8]| {
        let created: serde_json::Value = serde_json::from_slice(answer)?;
        let id = created.get("objectId").and_then(serde_json::Value::as_str);
        ids.borrow_mut().push(id.context("no objectId")?.to_owned());
        Ok(())
    };
    // Before the clock starts, caches are warm and connections open.
    load.run("warm-up", (requests / 10).max(1), 1, create, keep_id)
        .await?;
    let measured = load.run("creates", requests, 1, create, keep_id).await?;
    Ok((measured, ids.into_inner()))
}

/// An object of about 200 bytes.
fn object(index: u64) -> Bytes {
    let object = json!({
        "group": format!("group {}", index / GROUP),
        "name": format!("object {index} of a class that is measured"),
        "n": index,
        "tags": ["one", "two", "three"],
    });
    Bytes::from(object.to_string())
}

fn batch_of(first: u64, class: &str) -> Bytes {
    let requests: Vec<_> = (first..first + BATCH)
        .map(|n| {
            json!({"method": "POST", "path": class, "body": {
                "group": format!("batch {first}"), "name": format!("object {n} of a batch"), "n": n, "tags": [],
            }})
        })
        .collect();
    Bytes::from(json!({ "requests": requests }).to_string())
}

fn anything(_: &[u8]) -> Result<()> {
    Ok(())
}

/// Refuses a response without an object.
fn has_object(answer: &[u8]) -> Result<()> {
    match answer.windows(10).any(|part| part == b"\"objectId\"") {
        true => Ok(()),
        false => bail!("no object in {}", String::from_utf8_lossy(answer)),
    }
}

fn all_succeeded(answer: &[u8]) -> Result<()> {
    match answer.windows(9).any(|part| part == b"{\"error\":") {
        true => bail!("an error in {}", String::from_utf8_lossy(answer)),
        false => has_object(answer),
    }
}

/// A load of one kind of operation at a time.
struct OperationLoad<'a> {
    load: Load<'a>,
    processor_seconds: &'a dyn Fn() -> Option<f64>,
}

impl OperationLoad<'_> {
    /// Sends `requests` requests, each about `objects` objects.
    async fn run(
        &self,
        name: &'static str,
        requests: u64,
        objects: u64,
        request: impl Fn(u64) -> OperationRequest,
        check: impl Fn(&[u8]) -> Result<()>,
    ) -> Result<OperationMeasurement> {
        let Load {
            target,
            in_flight,
            environment,
            progress_bar,
        } = self.load;
        let bar = progress_bar(name, requests);
        let mut connections = Vec::with_capacity(in_flight);
        for _ in 0..in_flight {
            connections.push(target.connect().await?);
        }
        let next = Cell::new(0);
        let processor = (self.processor_seconds)();
        let started = environment.elapsed();
        let workers = connections.iter_mut().map(|connection| async {
            let mut latencies = Vec::new();
            while next.get() < requests {
                let index = next.replace(next.get() + 1);
                latencies.push(self.one(connection, request(index), &check).await?);
                if index.is_multiple_of(BAR_STEP) {
                    bar.inc(BAR_STEP);
                }
            }
            anyhow::Ok(latencies)
        });
        let mut latencies: Vec<Duration> = try_join_all(workers)
            .await
            .with_context(|| format!("measuring {name}"))?
            .concat();
        let seconds = environment.elapsed().saturating_sub(started).as_secs_f64();
        let used = (self.processor_seconds)()
            .zip(processor)
            .map(|(after, before)| after - before);
        bar.finish_and_clear();
        latencies.sort_unstable();
        Ok(OperationMeasurement {
            name,
            per_second: to_f64(requests * objects) / seconds,
            seconds,
            latency_ms: latency(&latencies),
            processor_us: used.map(|seconds| seconds * 1e6 / to_f64(requests)),
        })
    }

    async fn one(
        &self,
        connection: &mut Connection<'_>,
        OperationRequest { method, path, body }: OperationRequest,
        check: &impl Fn(&[u8]) -> Result<()>,
    ) -> Result<Duration> {
        let environment = self.load.environment;
        let sent = environment.elapsed();
        let (status, answer) = connection.send(method, &path, Sender::Client, body).await?;
        let took = environment.elapsed().saturating_sub(sent);
        if status != StatusCode::OK && status != StatusCode::CREATED {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&answer));
        }
        check(&answer)?;
        Ok(took)
    }
}
