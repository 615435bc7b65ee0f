//! The measured part: `payOrder`, over and over, a fixed number of requests under way.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::{Method, StatusCode};

use super::connection::{As, Target};
use super::prepare::{BenchUser, Order};
use crate::cli::progress_bar;
use crate::environment::Environment;

/// How it went.
#[derive(Debug)]
pub(super) struct Paid {
    /// From the first request to the last answer.
    pub(super) duration: Duration,
    /// Of each payment, sorted.
    pub(super) latencies: Vec<Duration>,
}

/// The bar moves once for so many payments: drawing costs more than sending.
const BAR_STEP: usize = 64;

/// Pays `orders`, `in_flight` at a time.
///
/// # Errors
/// A payment that does not succeed: a benchmark of refusals would say nothing.
pub(super) async fn pay(
    target: &Target,
    users: &[BenchUser],
    orders: Vec<Order>,
    in_flight: usize,
    what: &'static str,
    environment: &Environment,
) -> Result<Paid> {
    let bar = progress_bar::progress(what, orders.len().try_into()?);
    let mut connections = Vec::with_capacity(in_flight);
    for _ in 0..in_flight {
        connections.push(target.connect().await?);
    }
    let mut latencies = Vec::with_capacity(orders.len());
    let waiting = RefCell::new(orders.into_iter());
    let started = environment.elapsed();
    let workers = connections.iter_mut().map(|connection| async {
        let mut own = Vec::new();
        loop {
            let Some(order) = waiting.borrow_mut().next() else {
                return anyhow::Ok(own);
            };
            let Some(user) = users.get(order.user) else {
                bail!("no user {}", order.user);
            };
            let body = Bytes::from(format!(r#"{{"order":"{}"}}"#, order.id));
            let sent = environment.elapsed();
            let (status, answer) = connection
                .send(
                    Method::POST,
                    "/1.1/functions/payOrder",
                    As::User(&user.headers),
                    body,
                )
                .await?;
            own.push(environment.elapsed().saturating_sub(sent));
            if status != StatusCode::OK {
                bail!("payOrder answered {status}: {}", String::from_utf8_lossy(&answer));
            }
            if own.len().is_multiple_of(BAR_STEP) {
                bar.inc(BAR_STEP as u64);
            }
        }
    });
    for own in try_join_all(workers).await? {
        latencies.extend(own);
    }
    let duration = environment.elapsed().saturating_sub(started);
    bar.finish_and_clear();
    latencies.sort_unstable();
    Ok(Paid { duration, latencies })
}
