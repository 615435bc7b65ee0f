//! Calls of one process that ask the same at once do the work once. It saves work; safety never rests on it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::model::CloudError;
use crate::payment::service::{Receipt, lock};

type Answer = Result<Receipt, CloudError>;

/// What is under way, by what was asked.
#[derive(Debug, Default)]
pub(in crate::payment) struct Flights(Mutex<HashMap<String, watch::Receiver<Option<Answer>>>>);

impl Flights {
    /// Runs `work`, or waits for the same work under way. Whoever waited gets the answer as a repetition.
    ///
    /// **Cancellation**: where the call that works is dropped, one of those that wait works instead.
    pub(super) async fn join<F>(&self, asked: &str, work: impl Fn() -> F) -> Answer
    where
        F: Future<Output = Answer>,
    {
        loop {
            let role = match lock(&self.0).entry(asked.to_owned()) {
                Entry::Occupied(flight) => Err(flight.get().clone()),
                Entry::Vacant(vacant) => {
                    let (sender, receiver) = watch::channel(None);
                    vacant.insert(receiver);
                    Ok(sender)
                }
            };
            match role {
                Ok(sender) => {
                    let landing = Landing { flights: self, asked };
                    let answer = work().await;
                    drop(landing);
                    sender.send_replace(Some(answer.clone()));
                    return answer;
                }
                Err(mut receiver) => {
                    // An error here means that the call that worked was dropped: try again.
                    if let Ok(answer) = receiver.wait_for(Option::is_some).await
                        && let Some(answer) = answer.clone()
                    {
                        return answer.map(Receipt::into_replayed);
                    }
                }
            }
        }
    }
}

/// Takes the flight off the board, also where its future is dropped.
struct Landing<'a> {
    flights: &'a Flights,
    asked: &'a str,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(self.asked);
    }
}
