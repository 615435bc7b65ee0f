//! Discovery of the functions and hooks that the remote app defines.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::{Inner, RemoteApp, send};
use crate::model::{CloudError, Document, ErrorCode};

/// Interval of discovery: the app may have been restarted with other definitions.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// Time-out of one discovery request.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(3);

impl RemoteApp {
    /// Discovers the app's definitions again and again until `stop`, so that a restarted app is noticed. While the app
    /// cannot be reached, its last known definitions hold.
    pub async fn watch(&self, stop: &CancellationToken) {
        let mut reachable = true;
        loop {
            let outcome = self.discover().await;
            match (&outcome, reachable) {
                (Err(error), true) => {
                    tracing::warn!(
                        engine = self.0.url,
                        %error,
                        "discovery of the engine app failed; its last known definitions hold"
                    );
                }
                (Ok(()), false) => tracing::info!(engine = self.0.url, "the engine app is reachable again"),
                _ => {}
            }
            reachable = outcome.is_ok();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.environment.sleep(DISCOVERY_INTERVAL) => {}
            }
        }
    }

    /// Asks the app once for its definitions.
    ///
    /// # Errors
    /// An app that does not respond, or does not accept the master key.
    pub async fn discover(&self) -> Result<(), CloudError> {
        // The header names are those of LeanCloud's own tool. Beside an app key, some SDKs ignore the master key.
        let Inner {
            http,
            url,
            credentials,
            ..
        } = &*self.0;
        let master_key = credentials.master_key.as_ref();
        let request = http
            .get(format!("{url}/1.1/functions/_ops/metadatas"))
            .header("x-avoscloud-application-id", &credentials.app_id)
            .header(
                "x-avoscloud-master-key",
                master_key.map_or("", ExposeSecret::expose_secret),
            )
            .timeout(DISCOVERY_TIMEOUT);
        let (status, body) = send(request).await?;
        let names = match serde_json::from_slice::<Document>(&body) {
            Ok(mut body) if status == 200 => body.shift_remove("result"),
            _ => None,
        };
        let names = names
            .and_then(|names| serde_json::from_value::<HashSet<String>>(names).ok())
            .ok_or_else(|| {
                CloudError::other(format!(
                    "the engine app responded with {status} to the request for its definitions: it must run with the same \
                     app id and keys"
                ))
            })?;
        let mut known = self.0.names.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(&names) {
            tracing::info!(
                engine = self.0.url,
                definitions = names.len(),
                "the engine app's definitions changed"
            );
            *known = Some(names);
        }
        Ok(())
    }

    /// True if the app defines `name`, or has not been discovered yet.
    pub(crate) fn may_define(&self, name: &str) -> bool {
        self.defines(name).unwrap_or(true)
    }

    /// True if the app defines `name`; `None` if it has not been discovered yet.
    pub(super) fn defines(&self, name: &str) -> Option<bool> {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        names.as_ref().map(|names| names.contains(name))
    }

    /// Names that the app is known to define.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().flatten().cloned().collect()
    }

    /// Returns an error until the app has been discovered.
    pub(super) fn check_discovered(&self) -> Result<(), CloudError> {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        let text = "The engine app has not been reached yet.";
        names
            .is_some()
            .then_some(())
            .ok_or_else(|| CloudError::new(ErrorCode::UNAVAILABLE, text))
    }
}
