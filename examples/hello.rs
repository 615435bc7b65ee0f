//! A first cloud function. Start it with `cargo run --example hello`, and send the request that it prints.

use paylog::engine::{App, CurrentUser, Params};
use paylog::model::CloudError;
use serde::Deserialize;

#[derive(Deserialize)]
struct Greeting {
    #[serde(default = "world")]
    name: String,
}

fn world() -> String {
    "world".to_owned()
}

/// The arguments are extractors: the function's parameters, and the user if one is logged in.
async fn hello(Params(greeting): Params<Greeting>, user: Option<CurrentUser>) -> Result<String, CloudError> {
    if greeting.name.is_empty() {
        return Err(CloudError::other("Who is it?"));
    }
    let dear = if user.is_some() { "dear " } else { "" };
    Ok(format!("Hello, {dear}{}!", greeting.name))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    App::new().function("hello", hello).serve().await
}
