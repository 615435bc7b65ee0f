//! Load generator: requests over kept connections, written and read by hand, so that it costs less than the server.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const APP_ID: &str = "an app id of 24 letters.";
pub(crate) const APP_KEY: &str = "an app key of 24 letters";

/// Number of requests in flight.
const IN_FLIGHT: usize = 32;

fn request() -> Vec<u8> {
    let body = r#"{"name":"Ming"}"#;
    format!(
        "POST /1.1/functions/hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-LC-Id: {APP_ID}\r\n\
         X-LC-Key: {APP_KEY}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends one request and reads its response.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) {
    stream.write_all(request).await.unwrap();
    buffer.clear();
    loop {
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "the server hung up");
        if buffer.ends_with(br#"{"result":{"text":"Hello, Ming!"}}"#) {
            break;
        }
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"));
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

/// Makes one call.
pub(crate) fn once(address: &str) {
    on_one_thread(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        exchange(&mut stream, &request(), &mut Vec::with_capacity(4096)).await;
    });
}

/// Returns the calls per second.
pub(crate) fn run(address: &str, time: Duration) -> f64 {
    on_one_thread(async {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let address = address.to_owned();
            tasks.spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (request, mut buffer) = (request(), Vec::with_capacity(4096));
                let mut count = 0_u32;
                while started.elapsed() < time {
                    exchange(&mut stream, &request, &mut buffer).await;
                    count += 1;
                }
                count
            });
        }
        let counts = tasks.join_all().await;
        f64::from(counts.into_iter().sum::<u32>()) / started.elapsed().as_secs_f64()
    })
}

/// Returns idle connections that have had one response each.
pub(crate) fn hold_idle(address: &str, connections: u64) -> Vec<std::net::TcpStream> {
    on_one_thread(async {
        let (request, mut buffer) = (request(), Vec::with_capacity(4096));
        let mut held = Vec::new();
        for _ in 0..connections {
            let mut stream = TcpStream::connect(address).await.unwrap();
            exchange(&mut stream, &request, &mut buffer).await;
            held.push(stream.into_std().unwrap());
        }
        held
    })
}
