//! Servers of the benchmark: the engine, and a bare axum handler.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Json, Router, routing::post};
use mimalloc::MiMalloc;
use paylog::credentials::Credentials;
use paylog::engine::{App, EngineConfig, Params, Sessions};
use paylog::environment::Environment;
use paylog::http::{REQUEST_ID, cors_layer, new_request_id};
use paylog::model::{CloudError, Document};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Deserialize)]
struct Greeting {
    name: String,
}

#[derive(Serialize)]
struct Greeted {
    text: String,
}

fn greet(greeting: &Greeting) -> Greeted {
    Greeted {
        text: format!("Hello, {}!", greeting.name),
    }
}

async fn hello(Params(greeting): Params<Greeting>) -> Result<Greeted, CloudError> {
    Ok(greet(&greeting))
}

#[derive(Serialize)]
struct Body {
    result: Greeted,
}

async fn bare_hello(Json(greeting): Json<Greeting>) -> Json<Body> {
    Json(Body {
        result: greet(&greeting),
    })
}

struct Nobody;

#[async_trait]
impl Sessions for Nobody {
    async fn user(&self, _: &str) -> Result<Document, CloudError> {
        Err(CloudError::unauthorized())
    }
}

fn engine() -> Router {
    let credentials = Credentials {
        app_id: super::load::APP_ID.into(),
        app_key: super::load::APP_KEY.into(),
        master_key: Some("a master key of 24 chars".into()),
        hook_key: Some("a hook key".into()),
        androidx_key: None,
    };
    let config = EngineConfig::new(credentials, Arc::new(Nobody));
    let app = App::new().function("hello", hello);
    app.build((), config).unwrap().router()
}

/// The bare handler with the engine's layers: CORS and a request id.
fn bare() -> Router {
    let environment = Environment::system();
    let request_id = move |request: Request, next: Next| {
        let id = new_request_id(&environment);
        async move {
            let mut response: Response = next.run(request).await;
            if let Ok(id) = HeaderValue::try_from(id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            response
        }
    };
    Router::new()
        .route("/1.1/functions/hello", post(bare_hello))
        .layer(middleware::from_fn(request_id))
        .layer(cors_layer())
}

/// Serves on one thread until it is killed.
pub(crate) fn serve(side: &str) {
    let router = if side == "bare" { bare() } else { engine() };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        paylog::engine::serve(listener, router, std::future::pending())
            .await
            .unwrap();
    });
}
