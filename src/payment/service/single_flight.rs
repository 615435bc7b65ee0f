//! Single flight: identical calls that one process receives at the same time do their work once. It only saves work;
//! safety never depends on it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::model::CloudError;
use crate::payment::service::receipt::Receipt;
use crate::payment::sync::lock;

type CallResult = Result<Receipt, CloudError>;

/// The calls in progress, by what identifies them.
#[derive(Debug, Default)]
pub(in crate::payment) struct SingleFlight(Mutex<HashMap<String, watch::Receiver<Option<CallResult>>>>);

impl SingleFlight {
    /// Runs `work`, or waits for the same work in progress. Callers that waited get the result as a repetition.
    ///
    /// **Cancellation**: if the call that works is dropped, one of those that wait does the work instead.
    pub(super) async fn join<F>(&self, call: &str, work: impl Fn() -> F) -> CallResult
    where
        F: Future<Output = CallResult>,
    {
        loop {
            let role = match lock(&self.0).entry(call.to_owned()) {
                Entry::Occupied(flight) => Err(flight.get().clone()),
                Entry::Vacant(vacant) => {
                    let (sender, receiver) = watch::channel(None);
                    vacant.insert(receiver);
                    Ok(sender)
                }
            };
            match role {
                Ok(sender) => {
                    let guard = FlightGuard { flights: self, call };
                    let result = work().await;
                    drop(guard);
                    sender.send_replace(Some(result.clone()));
                    return result;
                }
                Err(mut receiver) => {
                    // An error here means that the call that worked was dropped: try again.
                    if let Ok(result) = receiver.wait_for(Option::is_some).await
                        && let Some(result) = result.clone()
                    {
                        return result.map(Receipt::into_replayed);
                    }
                }
            }
        }
    }
}

/// Removes the call when dropped, so also when its future is dropped.
struct FlightGuard<'a> {
    flights: &'a SingleFlight,
    call: &'a str,
}

impl Drop for FlightGuard<'_> {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(self.call);
    }
}
