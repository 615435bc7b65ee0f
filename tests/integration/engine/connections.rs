//! Connection time-outs, deadlines of calls, and log lines about calls without a waiting client.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use paylog::engine::{App, FunctionOptions, Meta, ServeOptions};
use paylog::environment::Environment;
use paylog::model::CloudError;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Counters, Running, SESSION, config, error, start, start_app};

/// Time-out of a test's wait.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

fn short_timeouts() -> ServeOptions {
    ServeOptions {
        header_read_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(900),
        ..ServeOptions::default()
    }
}

async fn connect(engine: &Running) -> TcpStream {
    TcpStream::connect(engine.url.trim_start_matches("http://"))
        .await
        .unwrap()
}

/// Returns the time for which the server keeps a connection after `sent`, and its response.
async fn kept(engine: &Running, sent: &[u8]) -> (Duration, Vec<u8>) {
    let mut stream = connect(engine).await;
    stream.write_all(sent).await.unwrap();
    let clock = Environment::system();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open after {sent:?}");
    (clock.elapsed(), answer)
}

#[tokio::test]
async fn connection_without_a_request_is_closed() {
    let engine = start(config(), short_timeouts()).await;
    for sent in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"POST /1.1/functions/hello HTTP/1.1\r\nHost: x\r\nX-Slow",
    ] {
        let (time, answer) = kept(&engine, sent).await;
        assert_eq!(answer, b"", "{sent:?}");
        assert!(
            (Duration::from_millis(150)..Duration::from_millis(800)).contains(&time),
            "{sent:?}: {time:?}"
        );
    }
    // HTTP/2 that begins and then asks nothing: the server says its part, and good-bye.
    let (time, _) = kept(&engine, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(time < Duration::from_secs(5), "{time:?}");
}

#[tokio::test]
async fn client_that_sends_single_bytes_is_disconnected() {
    let engine = start(config(), short_timeouts()).await;
    let (mut read, mut write) = connect(&engine).await.into_split();
    let slow = tokio::spawn(async move {
        let clock = Environment::system();
        for byte in b"POST /1.1/functions/hello HTTP/1.1\r\nX-Long-Name-Of-A-Header: and its value\r\n\r\n" {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            clock.sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(TEST_TIMEOUT, read.read_to_end(&mut answer)).await;
    slow.abort();
    assert!(closed.is_ok(), "the connection is still open");
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn idle_connection_outlives_the_head_time_out() {
    let engine = start(config(), short_timeouts()).await;
    let request = b"GET /__engine/1/ping HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = connect(&engine).await;
    let mut answer = vec![0; 4096];
    stream.write_all(request).await.unwrap();
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    let clock = Environment::system();
    clock.sleep(Duration::from_millis(450)).await;
    stream.write_all(request).await.unwrap();
    let length = stream.read(&mut answer).await.unwrap();
    assert!(
        answer[..length].starts_with(b"HTTP/1.1 200"),
        "a kept connection was closed too early"
    );
    let rested = clock.elapsed();
    let closed = tokio::time::timeout(TEST_TIMEOUT, stream.read(&mut answer)).await;
    assert_eq!(closed.expect("a kept connection is never closed").unwrap(), 0);
    assert!(clock.elapsed() - rested > Duration::from_millis(600));
    // A request of which only the beginning comes is not one that rests.
    let mut stream = connect(&engine).await;
    stream.write_all(request).await.unwrap();
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    let clock = Environment::system();
    stream.write_all(b"GET /").await.unwrap();
    let closed = tokio::time::timeout(TEST_TIMEOUT, stream.read(&mut answer)).await;
    assert_eq!(closed.unwrap().unwrap(), 0);
    assert!(
        clock.elapsed() < Duration::from_millis(700),
        "{:?}",
        clock.elapsed()
    );
}

#[tokio::test]
async fn request_like_an_http2_preface_is_read_whole() {
    let engine = start(config(), ServeOptions::default()).await;
    for request in [
        &b"PRINT /__engine/1/ping HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET /__engine/1/ping HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut stream = connect(&engine).await;
        stream.set_nodelay(true).unwrap();
        let (first, rest) = request.split_at(3);
        for byte in first {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(rest).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(TEST_TIMEOUT, stream.read(&mut answer)).await;
        let length = read.expect("no answer").unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{request:?}");
    }
}

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Registers a second subscriber. With only one, tracing caches the interest of the first thread at a call site for all
/// threads and for good, and that thread may belong to another test.
fn register_second_subscriber() {
    static OTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
    OTHER.get_or_init(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));
}

impl Lines {
    fn collect(&self) -> tracing::subscriber::DefaultGuard {
        register_second_subscriber();
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || lines.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn call_has_one_span_with_function_user_outcome_and_duration() {
    let lines = Lines::default();
    let for_writer = lines.clone();
    register_second_subscriber();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(move || for_writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let engine = start(config(), ServeOptions::default()).await;
    for (function, outcome) in [("who", "ok"), ("refuse", "refused"), ("panics", "failed")] {
        let request = engine.post(&format!("/1.1/functions/{function}"));
        let request = request.header("X-LC-Key", "key").header("X-LC-Session", SESSION);
        let response = request.body("{}").send().await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap();
        let text = lines.text();
        let mut closed = text
            .lines()
            .filter(|line| line.contains("call{") && line.contains(&format!("request.id={id}")))
            .filter(|line| line.contains("close"));
        let line = closed
            .next()
            .unwrap_or_else(|| panic!("no span of {function}:\n{text}"));
        for field in [
            format!("function={function}"),
            format!("outcome=\"{outcome}\""),
            "user.id=\"u1\"".to_owned(),
            "duration_ms=".to_owned(),
        ] {
            assert!(line.contains(&field), "{field} in {line}");
        }
        assert_eq!(closed.next(), None, "one span for a call");
    }
}

async fn panics_late(meta: Meta) -> Result<(), CloudError> {
    Environment::system().sleep(Duration::from_millis(300)).await;
    panic!("the ledger of {} is gone", meta.name);
}

fn late() -> App<Counters> {
    let detached = FunctionOptions {
        detached: true,
        ..FunctionOptions::default()
    };
    App::new().function_with("late", detached, panics_late)
}

// compat: engine.9
#[tokio::test]
async fn panic_after_time_out_is_logged_with_its_request_id() {
    let lines = Lines::default();
    let _guard = lines.collect();
    let mut config = config();
    config.limits.function = Duration::from_millis(50);
    let engine = start_app(late(), config, ServeOptions::default()).await;
    let request = engine.post("/1.1/functions/late").header("X-LC-Key", "key");
    let response = request.body("{}").send().await.unwrap();
    assert_eq!(response.status(), 503);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    engine.engine.close().await;
    let text = lines.text();
    let line = text.lines().find(|line| line.contains("panicked"));
    let line = line.unwrap_or_else(|| panic!("the panic is not in the log:\n{text}"));
    assert!(
        line.contains(&id) && line.contains("the ledger of late is gone"),
        "{line}"
    );
}

// compat: engine.9
#[tokio::test]
async fn panic_after_disconnect_is_logged_with_its_request_id() {
    let lines = Lines::default();
    let _guard = lines.collect();
    let engine = start_app(late(), config(), ServeOptions::default()).await;
    let mut stream = connect(&engine).await;
    stream
        .write_all(b"POST /1.1/functions/late HTTP/1.1\r\nHost: x\r\nX-LC-Id: app\r\nX-LC-Key: key\r\n\r\n")
        .await
        .unwrap();
    while engine.engine.calls_in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    engine.engine.close().await;
    let text = lines.text();
    assert!(
        text.lines()
            .any(|line| line.contains("panicked") && line.contains("request.id=")),
        "{text}"
    );
}

// compat: engine.3
#[tokio::test]
async fn deadline_counts_from_the_request_head() {
    let app = App::new().function("left", async |meta: Meta| {
        Ok::<_, CloudError>(u64::try_from(meta.remaining().as_millis()).unwrap())
    });
    let mut config = config();
    config.limits.function = Duration::from_secs(2);
    let engine = start_app(app, config, ServeOptions::default()).await;
    let mut stream = connect(&engine).await;
    stream
        .write_all(b"POST /1.1/functions/left HTTP/1.1\r\nHost: x\r\nX-LC-Id: app\r\nX-LC-Key: key\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
        .await
        .unwrap();
    Environment::system().sleep(Duration::from_millis(500)).await;
    stream.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let left = body["result"].as_u64().unwrap();
    assert!((500..=1500).contains(&left), "{left} ms are left");
}

// compat: engine.9
#[tokio::test]
async fn deadline_cancels_a_function() {
    let mut config = config();
    config.limits.function = Duration::from_millis(100);
    let engine = start(config, ServeOptions::default()).await;
    let reply = engine.with_key("/1.1/functions/slow", &json!({"ms": 400})).await;
    assert_eq!(reply, (503, error(124, "The request timed out on the server.")));
    engine.engine.close().await;
    let finished = engine.counters.finished.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(finished, 0, "the function went on after its deadline");
}
