//! Hashing of passwords: Argon2id on a few threads, behind a queue of bounded length.
//!
//! Each thread keeps one piece of memory while it has work. The allocator would cut up the megabytes of a finished hash
//! and take others: ten times the memory.

mod imported_hash;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use argon2::password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;

use super::config::PasswordCost;
use super::error::internal;
use super::login_limiter::LoginAttempt;
use crate::environment::Environment;
use crate::model::user_secrets::PASSWORD_COLUMNS;
use crate::model::{CloudError, Document, ErrorCode};

/// The stored hash of a user's password.
#[derive(Debug, Default)]
pub(super) struct StoredPassword {
    hash: String,
    salt: Option<String>,
    bcrypt: Option<String>,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another password.
    Wrong,
    /// The password.
    Right,
    /// The password, by an imported hash, which is to be replaced by one of Argon2id.
    RightByImportedHash,
}

impl StoredPassword {
    /// The stored hash of this user.
    pub(super) fn of(user: &Document) -> Self {
        let [hash, salt, bcrypt] = PASSWORD_COLUMNS.map(|column| user.text(column).map(ToOwned::to_owned));
        Self {
            hash: hash.unwrap_or_default(),
            salt,
            bcrypt,
        }
    }

    fn fits(&self, password: &SecretString, memory: &mut Vec<Block>) -> Verdict {
        let text = password.expose_secret();
        let bcrypt = self.bcrypt.as_deref().filter(|_| self.hash.is_empty());
        let imported = match (bcrypt.unwrap_or(&self.hash), &self.salt) {
            (hash, _) if hash.starts_with("$argon2id$") => {
                return if fits_argon2id(hash, password, memory) {
                    Verdict::Right
                } else {
                    Verdict::Wrong
                };
            }
            (hash, _) if imported_hash::is_bcrypt(hash) => imported_hash::fits_bcrypt(hash, text),
            (hash, Some(salt)) => imported_hash::fits_leancloud(hash, salt, text),
            (_, None) => false,
        };
        if imported {
            Verdict::RightByImportedHash
        } else {
            Verdict::Wrong
        }
    }
}

/// Requests that may wait for a hashing thread. At 15 ms a hash on two threads the last one waits two seconds. More would
/// outlast the clients' time-outs, and let a flood of logins hold the memory of its requests.
const WAITING_MAX: usize = 256;

/// Time without work after which a thread gives its memory back.
const KEEP_MEMORY: Duration = Duration::from_secs(10);

/// The work of a thread, in its memory.
type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// The hashing threads and their queue. Dropping it ends the threads.
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
                .spawn(move || run_jobs(&queue));
            if let Err(error) = started {
                tracing::error!(%error, "starting a password thread failed");
            }
        }
        Self {
            cost,
            jobs,
            waiting: Arc::default(),
        }
    }

    /// Hashes a new password, with a salt of its own, into PHC form.
    ///
    /// # Errors
    /// 429 if too many wait.
    pub(super) async fn hash(
        &self,
        environment: &Environment,
        password: SecretString,
    ) -> Result<String, CloudError> {
        let salt: [u8; 16] = environment.random();
        let cost = self.cost;
        self.on_thread(move |memory| {
            let salt = SaltString::encode_b64(&salt).map_err(|error| internal(&error))?;
            let params =
                Params::new(cost.memory_kib, cost.iterations, 1, None).map_err(|error| internal(&error))?;
            let hash = PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params).map_err(|error| internal(&error))?,
                salt: Some(salt.as_salt()),
                hash: Some(
                    argon2id(&password, salt.as_salt(), params, memory).map_err(|error| internal(&error))?,
                ),
            };
            Ok(hash.to_string())
        })
        .await
    }

    /// Checks a password. No password fits a missing or malformed hash. A failure is counted before the next attempt has its
    /// turn.
    ///
    /// # Errors
    /// 219; 429 if too many wait.
    pub(super) async fn verify(
        &self,
        attempt: LoginAttempt,
        stored: StoredPassword,
        password: SecretString,
    ) -> Result<Verdict, CloudError> {
        attempt.check()?;
        self.on_thread(move |memory| {
            attempt.check()?;
            let verdict = stored.fits(&password, memory);
            attempt.record(verdict != Verdict::Wrong);
            Ok(verdict)
        })
        .await
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T, CloudError> + Send + 'static,
    ) -> Result<T, CloudError> {
        let slot = QueueSlot::take(&self.waiting)?;
        let (result, receiver) = oneshot::channel();
        let job = move |memory: &mut Vec<Block>| {
            // Held by the job, not by the request: a client that leaves frees no slot before the job has run.
            let _slot = slot;
            if !result.is_closed() {
                let _ = result.send(work(memory));
            }
        };
        self.jobs.send(Box::new(job)).map_err(|error| internal(&error))?;
        receiver.await.map_err(|error| internal(&error))?
    }
}

/// True if `hash`, in PHC form, is of `password`.
fn fits_argon2id(hash: &str, password: &SecretString, memory: &mut Vec<Block>) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    let (Ok(params), Some(salt), Some(stored)) = (Params::try_from(&hash), hash.salt, hash.hash) else {
        return false;
    };
    if hash.algorithm != Algorithm::Argon2id.ident() || hash.version != Some(Version::V0x13.into()) {
        return false;
    }
    // With the parameters of the stored hash, not of this server. `Output` compares in constant time.
    argon2id(password, salt, params, memory).is_ok_and(|computed| computed == stored)
}

/// Computes Argon2id of a password, in `memory`, which grows if needed.
fn argon2id(
    password: &SecretString,
    salt: Salt<'_>,
    params: Params,
    memory: &mut Vec<Block>,
) -> argon2::password_hash::Result<Output> {
    let mut salt_bytes = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut salt_bytes)?;
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Output::init_with(length, |output| {
        let memory = memory.get_mut(..blocks).unwrap_or_default();
        hasher.hash_password_into_with_memory(password.expose_secret().as_bytes(), salt, output, memory)?;
        Ok(())
    })
}

/// Runs the jobs of the queue until it is closed.
fn run_jobs(queue: &Mutex<mpsc::Receiver<Job>>) {
    let mut memory = Vec::new();
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv_timeout(KEEP_MEMORY);
        match next {
            Ok(job) => {
                if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
                    tracing::error!("hashing a password panicked");
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => memory = Vec::new(),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A slot of the queue. Dropping it frees it.
struct QueueSlot(Arc<AtomicUsize>);

impl QueueSlot {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self, CloudError> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(waiting));
        if before >= WAITING_MAX {
            return Err(CloudError::new(
                ErrorCode::TOO_MANY_REQUESTS,
                "Too many requests.",
            ));
        }
        Ok(slot)
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectId;
    use crate::server::login_limiter::LoginLimiter;

    async fn fits(passwords: &Passwords, hash: &str, password: &str) -> bool {
        let stored = StoredPassword {
            hash: hash.to_owned(),
            ..StoredPassword::default()
        };
        let tom = ObjectId::parse("tom").unwrap();
        let attempt = LoginLimiter::default().attempt(tom, &Environment::system());
        passwords.verify(attempt, stored, password.into()).await.unwrap() == Verdict::Right
    }

    #[tokio::test]
    async fn hash_fits_its_password_alone() {
        let passwords = Passwords::new(PasswordCost::CHEAPEST, 1);
        let environment = Environment::system();
        let hash = passwords.hash(&environment, "blue sky".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        let again = passwords.hash(&environment, "blue sky".into()).await.unwrap();
        assert_ne!(hash, again, "every hash has a salt of its own");
        assert!(fits(&passwords, &hash, "blue sky").await);
        assert!(!fits(&passwords, &hash, "blue sky ").await);
        for odd in ["blue sky", "", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$"] {
            assert!(!fits(&passwords, odd, "blue sky").await, "{odd}");
            assert!(!fits(&passwords, odd, odd).await, "{odd}");
        }
    }

    /// Every implementation of Argon2id reads our hashes, and we read theirs.
    #[tokio::test]
    async fn hash_is_the_argon2_crates_own() {
        use argon2::password_hash::{PasswordHasher, PasswordVerifier};
        let passwords = Passwords::new(PasswordCost::CHEAPEST, 1);
        let ours = passwords
            .hash(&Environment::system(), "blue sky".into())
            .await
            .unwrap();
        let parsed = PasswordHash::new(&ours).unwrap();
        Argon2::default().verify_password(b"blue sky", &parsed).unwrap();
        let salt = SaltString::encode_b64(b"sixteen bytes of").unwrap();
        let theirs = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(64, 2, 1, None).unwrap(),
        )
        .hash_password(b"red earth", &salt)
        .unwrap()
        .to_string();
        assert!(fits(&passwords, &theirs, "red earth").await);
    }

    #[test]
    fn queue_is_bounded_and_dropped_slots_are_free() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let places: Vec<_> = (0..WAITING_MAX)
            .map(|_| QueueSlot::take(&waiting).unwrap())
            .collect();
        let refused = QueueSlot::take(&waiting).err().unwrap();
        assert_eq!(
            (refused.code, refused.status),
            (ErrorCode::TOO_MANY_REQUESTS, 429)
        );
        drop(places);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
        assert!(QueueSlot::take(&waiting).is_ok());
    }
}
