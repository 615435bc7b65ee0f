//! The REST client of an app's storage.

use secrecy::ExposeSecret;

use crate::client::{Client, ClientBuilder};
use crate::config::ApiServer;
use crate::credentials::Credentials;
use crate::environment::Environment;

/// Returns the builder of a client of `api_server`, with all keys.
pub(crate) fn builder(
    api_server: &ApiServer,
    credentials: &Credentials,
    environment: &Environment,
) -> ClientBuilder {
    let mut builder = Client::builder(
        api_server.url(),
        credentials.app_id.as_str(),
        credentials.app_key.expose_secret(),
    )
    .environment(environment.clone());
    if let Some(key) = &credentials.master_key {
        builder = builder.master_key(key.expose_secret());
    }
    if let Some(key) = &credentials.hook_key {
        builder = builder.hook_key(key.expose_secret());
    }
    builder
}
