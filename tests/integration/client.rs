//! The REST client over real HTTP: requests, outcomes of responses, and retries.

mod outcomes;
mod own_server;
mod requests;
mod retries;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use paylog::client::{Client, ClientBuilder, RetryPolicy};
use paylog::environment::Environment;
use paylog::model::{ClassName, ObjectId, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// The keys and the time of the documented signatures.
const APP_KEY: &str = "UtOCzqb67d3sN12Kts4URwy8";
const MASTER_KEY: &str = "DyJegPlemooo4X1tg94gQkw1";
const NOW: i64 = 1_453_014_943_466;
const SIGN: &str = "d5bcbb897e19b2f6633c716dfdfaf9be,1453014943466";
const SIGN_MASTER: &str = "e074720658078c898aa0d4b1b82bdf4b,1453014943466,master";

const ID: &str = "5d8308029c9235000886c4cf";
const TIME: &str = "2019-09-19T04:45:54.076Z";

fn builder(server_url: &str) -> ClientBuilder {
    let (environment, _) = Environment::seeded(7, Timestamp::from_millis(NOW));
    Client::builder(server_url, "app-id", APP_KEY)
        .master_key(MASTER_KEY)
        .environment(environment)
        .retry_policy(quick())
}

fn client(server_url: &str) -> Client {
    builder(server_url).build().unwrap()
}

/// A policy of three attempts without delays.
fn quick() -> RetryPolicy {
    RetryPolicy {
        attempts_max: 3,
        delay_first: Duration::ZERO,
        delay_max: Duration::ZERO,
        ..RetryPolicy::default()
    }
}

fn class() -> ClassName {
    ClassName::parse("GameScore").unwrap()
}

fn id() -> ObjectId {
    ObjectId::parse(ID).unwrap()
}

fn answer(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

fn error(status: u16, code: i32) -> ResponseTemplate {
    answer(status, json!({ "code": code, "error": "a reason" }))
}

fn created() -> ResponseTemplate {
    answer(201, json!({ "objectId": ID, "createdAt": TIME }))
}

fn updated() -> ResponseTemplate {
    answer(200, json!({ "objectId": ID, "updatedAt": TIME }))
}

/// A server that returns these responses in turn, then the last one forever.
async fn answering(answers: impl IntoIterator<Item = ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let answers: Vec<_> = answers.into_iter().collect();
    let next = AtomicUsize::new(0);
    Mock::given(any())
        .respond_with(move |_: &Request| {
            let index = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            answers[index].clone()
        })
        .mount(&server)
        .await;
    server
}

async fn received(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

/// The only request that arrived.
async fn only(server: &MockServer) -> Request {
    let mut requests = received(server).await;
    assert_eq!(requests.len(), 1, "requests: {requests:?}");
    requests.remove(0)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).map(|value| value.to_str().unwrap())
}

fn body(request: &Request) -> Value {
    request.body_json().unwrap()
}

fn query(request: &Request) -> Vec<(String, String)> {
    request.url.query_pairs().into_owned().collect()
}

/// A server that reads each request to its end, sends `before`, and drops the connection.
struct DroppingServer {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl DroppingServer {
    async fn start(before: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut read = Vec::new();
                while !is_complete(&read) {
                    if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                if is_complete(&read) {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let _ = socket.write_all(before.as_bytes()).await;
                }
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// True if the head of a request and the announced length of its body were read.
fn is_complete(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}
