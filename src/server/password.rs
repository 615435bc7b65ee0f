//! Passwords: Argon2id on a few threads, behind a queue of bounded length.
//!
//! The threads are these alone: on threads that come and go, the memory of every hash would be kept by another one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;

use super::config::PasswordCost;
use super::error::internal;
use crate::environment::Environment;
use crate::model::{CloudError, ErrorCode};

/// Requests that may wait for a hashing thread. At about 15 ms a hash on two threads the last one waits two seconds;
/// more would outlast the patience of clients and let a flood of logins hold the memory of its requests.
const WAITING_MAX: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// The hashing threads and their queue. The threads end with it.
pub(super) struct Passwords {
    cost: PasswordCost,
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

impl Passwords {
    pub(super) fn new(cost: PasswordCost, threads: usize) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            let started = std::thread::Builder::new()
                .name("paylog-password".to_owned())
                .spawn(move || work_off(&queue));
            if let Err(error) = started {
                tracing::error!(%error, "a thread for passwords could not be started");
            }
        }
        Self {
            cost,
            jobs,
            waiting: Arc::default(),
        }
    }

    /// The hash of a new password, with a salt of its own, in PHC form.
    ///
    /// # Errors
    /// 429 where too many wait.
    pub(super) async fn hash(
        &self,
        environment: &Environment,
        password: SecretString,
    ) -> Result<String, CloudError> {
        let salt: [u8; 16] = environment.random();
        let cost = self.cost;
        self.on_thread(move || {
            let salt = SaltString::encode_b64(&salt).map_err(|error| internal(&error))?;
            let params =
                Params::new(cost.memory_kib, cost.iterations, 1, None).map_err(|error| internal(&error))?;
            let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password(password.expose_secret().as_bytes(), &salt)
                .map_err(|error| internal(&error))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` is the one that `hash` was made of. A stored text that is no hash fits no password.
    ///
    /// # Errors
    /// 429 where too many wait.
    pub(super) async fn verify(&self, hash: String, password: SecretString) -> Result<bool, CloudError> {
        self.on_thread(move || {
            let Ok(hash) = PasswordHash::new(&hash) else {
                return Ok(false);
            };
            // The parameters are those of the stored hash, not of this instance.
            Ok(Argon2::default()
                .verify_password(password.expose_secret().as_bytes(), &hash)
                .is_ok())
        })
        .await
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CloudError> + Send + 'static,
    ) -> Result<T, CloudError> {
        let place = Place::take(&self.waiting)?;
        let (answer, answered) = oneshot::channel();
        let job = move || {
            // Held by the job, not by the request: a client that leaves does not make room before it is there.
            let _place = place;
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        };
        self.jobs.send(Box::new(job)).map_err(|error| internal(&error))?;
        answered.await.map_err(|error| internal(&error))?
    }
}

/// One thread's life.
fn work_off(queue: &Mutex<mpsc::Receiver<Job>>) {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("hashing a password panicked");
        }
    }
}

/// A place in the queue, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self, CloudError> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(waiting));
        if before >= WAITING_MAX {
            return Err(CloudError::new(
                ErrorCode::TOO_MANY_REQUESTS,
                "Too many requests.",
            ));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_fits_its_password_and_no_other() {
        let passwords = Passwords::new(PasswordCost::CHEAPEST, 1);
        let environment = Environment::system();
        let hash = passwords.hash(&environment, "blue sky".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        let again = passwords.hash(&environment, "blue sky".into()).await.unwrap();
        assert_ne!(hash, again, "every hash has a salt of its own");
        assert!(passwords.verify(hash.clone(), "blue sky".into()).await.unwrap());
        assert!(!passwords.verify(hash, "blue sky ".into()).await.unwrap());
        assert!(
            !passwords
                .verify("blue sky".into(), "blue sky".into())
                .await
                .unwrap()
        );
    }

    #[test]
    fn the_queue_has_an_end_and_gives_places_back() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let places: Vec<_> = (0..WAITING_MAX).map(|_| Place::take(&waiting).unwrap()).collect();
        let refused = Place::take(&waiting).err().unwrap();
        assert_eq!(
            (refused.code, refused.status),
            (ErrorCode::TOO_MANY_REQUESTS, 429)
        );
        drop(places);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
        assert!(Place::take(&waiting).is_ok());
    }
}
