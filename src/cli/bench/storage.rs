//! `paylog bench --storage`: the storage API over loopback HTTP, operation by operation.
//!
//! The server is a process of its own on a folder of its own, with its durable writes as always, or one that runs
//! already and speaks the same API; the load comes from one thread of this one. What is answered is checked: a
//! measurement with a refusal in it is none.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::child::Child;
use super::connection::{As, Connection, Target};
use super::report::{Latency, latency, number};
use crate::app::terminal;
use crate::cli::arguments::BenchArguments;
use crate::cli::progress_bar;
use crate::environment::Environment;

/// The class that is measured has this name, and letters of its own after it: a server that runs already may have been
/// measured before.
const CLASS: &str = "Bench";

/// Objects that share a value of the indexed column: what one query finds.
const GROUP: u64 = 10;

/// Creates in one batch.
const BATCH: u64 = 10;

/// The bar moves once for so many requests: drawing costs more than sending.
const BAR_STEP: u64 = 64;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    in_flight: u64,
    requests: u64,
    operations: Vec<Measured>,
    /// The server's peak over all of it.
    peak_memory_bytes: Option<u64>,
}

/// One kind of operation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    name: &'static str,
    /// Objects, where a request is about several.
    per_second: f64,
    seconds: f64,
    latency_ms: Latency,
    /// What a request costs the server on its processor, in microseconds.
    processor_us: Option<f64>,
}

/// A request to be sent.
struct Sent {
    method: Method,
    path: String,
    body: Bytes,
}

/// Measures every kind of operation, on `server` or, without one, on a server of our own.
pub(super) async fn run(
    arguments: &BenchArguments,
    server: Option<Target>,
    environment: &Environment,
) -> Result<bool> {
    let (operations, peak_memory_bytes) = match server {
        Some(target) => (measure_all(arguments, &target, None, environment).await?, None),
        None => {
            let parent = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
            let child = Child::start(&parent, environment).await?;
            let measured = measure_all(arguments, &child.target()?, Some(&child), environment).await;
            let peak = child.peak_memory_bytes();
            let _folder = child.stop(environment).await?;
            (measured?, peak)
        }
    };
    let report = Report {
        in_flight: arguments.in_flight,
        requests: arguments.payments,
        operations,
        peak_memory_bytes,
    };
    report.print(arguments.json)?;
    Ok(true)
}

/// Makes a class, with an index over one of its columns, and answers its name.
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
        .ask(Method::POST, &path, As::Master, body)
        .await
        .context("the class to be measured could not be made")?;
    Ok(class)
}

async fn measure_all(
    arguments: &BenchArguments,
    target: &Target,
    child: Option<&Child>,
    environment: &Environment,
) -> Result<Vec<Measured>> {
    let requests = arguments.payments;
    let load = Load {
        target,
        child,
        in_flight: usize::try_from(arguments.in_flight)?,
        environment,
    };
    let class = format!("/1.1/classes/{}", make_class(target, environment).await?);
    let ids: RefCell<Vec<String>> = RefCell::default();
    let create = |index| Sent {
        method: Method::POST,
        path: class.clone(),
        body: object(index),
    };
    let keep_id = |answer: &[u8]| {
        let created: serde_json::Value = serde_json::from_slice(answer)?;
        let id = created.get("objectId").and_then(serde_json::Value::as_str);
        ids.borrow_mut().push(id.context("no objectId")?.to_owned());
        Ok(())
    };
    // Caches are warm and connections have been opened before anything counts.
    load.run("warm-up", (requests / 10).max(1), 1, create, keep_id)
        .await?;
    let mut measured = vec![load.run("creates", requests, 1, create, keep_id).await?];
    let ids = ids.into_inner();
    let of = |index: u64| -> String {
        // A stride that has no factor in common with most counts goes over all objects without order.
        let place = usize::try_from(index.wrapping_mul(7_919)).unwrap_or(0) % ids.len();
        format!("{class}/{}", ids.get(place).map_or("", String::as_str))
    };
    let get = |index| Sent {
        method: Method::GET,
        path: of(index),
        body: Bytes::new(),
    };
    measured.push(load.run("reads by id", requests, 1, get, has_object).await?);
    let increment = |path: String| Sent {
        method: Method::PUT,
        path,
        body: Bytes::from_static(br#"{"n":{"__op":"Increment","amount":1}}"#),
    };
    let spread = |index| increment(of(index));
    measured.push(
        load.run("increments, spread", requests, 1, spread, anything)
            .await?,
    );
    let hot = |_| increment(of(0));
    measured.push(
        load.run("increments, one object", requests, 1, hot, anything)
            .await?,
    );
    // Those of the warm-up are of the first groups: there are no more groups for them.
    let groups = requests.div_ceil(GROUP);
    let query = |index: u64| Sent {
        method: Method::GET,
        path: format!(
            "{class}?limit=10&where=%7B%22group%22%3A%22group+{}%22%7D",
            index.wrapping_mul(7_919) % groups
        ),
        body: Bytes::new(),
    };
    measured.push(
        load.run("indexed queries", requests, 1, query, has_object)
            .await?,
    );
    let batch = |index: u64| Sent {
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

/// An object of some two hundred bytes.
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

/// An answer without an object is no answer to what was asked.
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

/// Where the requests go, and how many are under way at once.
struct Load<'a> {
    target: &'a Target,
    /// The server, where it is our own.
    child: Option<&'a Child>,
    in_flight: usize,
    environment: &'a Environment,
}

impl Load<'_> {
    /// Sends `requests` requests, each about `objects` objects.
    async fn run(
        &self,
        name: &'static str,
        requests: u64,
        objects: u64,
        request: impl Fn(u64) -> Sent,
        check: impl Fn(&[u8]) -> Result<()>,
    ) -> Result<Measured> {
        let bar = progress_bar::progress(name, requests);
        let mut connections = Vec::with_capacity(self.in_flight);
        for _ in 0..self.in_flight {
            connections.push(self.target.connect().await?);
        }
        let next = Cell::new(0);
        let processor = self.child.and_then(Child::processor_seconds);
        let started = self.environment.elapsed();
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
        let seconds = self.environment.elapsed().saturating_sub(started).as_secs_f64();
        let used = self
            .child
            .and_then(Child::processor_seconds)
            .zip(processor)
            .map(|(after, before)| after - before);
        bar.finish_and_clear();
        latencies.sort_unstable();
        Ok(Measured {
            name,
            per_second: number(requests * objects) / seconds,
            seconds,
            latency_ms: latency(&latencies),
            processor_us: used.map(|seconds| seconds * 1e6 / number(requests)),
        })
    }

    async fn one(
        &self,
        connection: &mut Connection<'_>,
        Sent { method, path, body }: Sent,
        check: &impl Fn(&[u8]) -> Result<()>,
    ) -> Result<Duration> {
        let sent = self.environment.elapsed();
        let (status, answer) = connection.send(method, &path, As::Client, body).await?;
        let took = self.environment.elapsed().saturating_sub(sent);
        if status != StatusCode::OK && status != StatusCode::CREATED {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&answer));
        }
        check(&answer)?;
        Ok(took)
    }
}

impl Report {
    fn print(&self, json: bool) -> Result<()> {
        if json {
            return terminal::print_json(self);
        }
        terminal::print_line(format!(
            "{} requests of each kind, {} in flight\n{:<26} {:>10} {:>12}  latency (ms): p50, p99, max",
            self.requests, self.in_flight, "", "per second", "CPU µs each"
        ));
        for Measured {
            name,
            per_second,
            latency_ms: Latency { p50, p99, max, .. },
            processor_us,
            ..
        } in &self.operations
        {
            let processor = processor_us.map_or_else(String::new, |us| format!("{us:.0}"));
            terminal::print_line(format!(
                "{name:<26} {per_second:>10.0} {processor:>12}  {p50:.2}, {p99:.2}, {max:.2}"
            ));
        }
        if let Some(bytes) = self.peak_memory_bytes {
            terminal::print_line(format!(
                "peak memory of the server  {:.1} MB",
                number(bytes) / 1e6
            ));
        }
        Ok(())
    }
}
