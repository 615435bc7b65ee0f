//! The measured payments: calls of `payOrder`, with a fixed number of concurrent requests.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::{Method, StatusCode};

use super::connection::Sender;
use super::fixture::{BenchUser, Order};
use super::load::Load;

/// Duration and latencies of a run of payments.
#[derive(Debug)]
pub(crate) struct PaymentRun {
    /// Time from the first request to the last response.
    pub(crate) duration: Duration,
    /// Latency of each payment, in ascending order.
    pub(crate) latencies: Vec<Duration>,
}

/// Payments between two updates of the bar: drawing costs more than sending.
const BAR_STEP: usize = 64;

/// Pays `orders`, `load.in_flight` at a time.
///
/// # Errors
/// A payment that does not succeed: a benchmark of refusals has no meaning.
pub(crate) async fn pay(
    load: Load<'_>,
    users: &[BenchUser],
    orders: Vec<Order>,
    phase: &'static str,
) -> Result<PaymentRun> {
    let Load {
        target,
        in_flight,
        environment,
        progress_bar,
    } = load;
    let bar = progress_bar(phase, orders.len().try_into()?);
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
                    Sender::User(&user.headers),
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
    Ok(PaymentRun { duration, latencies })
}
