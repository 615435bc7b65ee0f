//! A bad network over real HTTP: a proxy between a client and a server that loses, repeats and delays requests, loses
//! and cuts responses, and breaks connections.
//!
//! Connections are kept alive, as by a good proxy, so that the fault of one request can also hit the next one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use paylog::environment::Environment;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Time for a connection to send a response that was handed to it.
const FLUSHED: Duration = Duration::from_millis(5);

/// The fate of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// The request arrives, and so does its response.
    Fine,
    /// As [`Fate::Fine`]; then the connection is closed, perhaps with the next request on its way.
    FineAndClosed,
    /// The request arrives after a delay; so does the response.
    Slow(Duration),
    /// The request is lost; the connection is closed.
    Lost,
    /// The request is lost; the connection is reset.
    LostAndReset,
    /// The request is lost; the proxy responds with 502.
    LostBadGateway,
    /// The request is lost; the proxy responds with LeanCloud's 429.
    Busy,
    /// The response is lost; the connection is closed.
    AnswerLost,
    /// The response is lost; the connection is reset.
    AnswerLostAndReset,
    /// The response is lost; the proxy responds with 502.
    AnswerBadGateway,
    /// Half of the response arrives.
    AnswerCut,
    /// The request arrives twice in a row; the first response is passed on.
    Twice,
    /// The request arrives twice in a row; the second response is passed on.
    TwiceSecondAnswer,
    /// The request is answered, and arrives again after a delay.
    Again(Duration),
    /// The connection is closed, and the request arrives after a delay.
    Late(Duration),
    /// The proxy responds with 502, and the request arrives after a delay.
    LateBadGateway(Duration),
}

impl Fate {
    /// True if the request reaches the server.
    pub(crate) fn arrives(self) -> bool {
        !matches!(
            self,
            Self::Lost | Self::LostAndReset | Self::LostBadGateway | Self::Busy
        )
    }

    /// The name without the time.
    pub(crate) fn name(self) -> String {
        let text = format!("{self:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    }
}

/// A request as the proxy received it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

type Decide = Box<dyn Fn(&Asked) -> Fate + Send + Sync>;

/// A proxy on a free port. It ends with the runtime of the test.
pub(crate) struct Proxy {
    /// The address on which it listens.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    decide: Decide,
    healed: AtomicBool,
    asked: Mutex<Vec<(Asked, Fate)>>,
    /// Requests that still have to arrive.
    late: TaskTracker,
    environment: Environment,
}

/// The early end of a connection.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Closed,
    ClosedAfterAnswer,
    Reset,
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

impl Proxy {
    /// Starts a proxy before the server at `upstream`; `decide` chooses the fate of each request.
    pub(crate) async fn start(
        upstream: &str,
        decide: impl Fn(&Asked) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            http,
            decide: Box::new(decide),
            healed: AtomicBool::new(false),
            asked: Mutex::default(),
            late: TaskTracker::new(),
            environment: Environment::system(),
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(connection(Arc::clone(&shared), stream));
                }
            }
        });
        Self { url, shared }
    }

    /// Ends the faults. Waits until all requests under way have arrived.
    pub(crate) async fn heal(&self) {
        self.shared.healed.store(true, Ordering::SeqCst);
        self.shared.late.close();
        self.shared.late.wait().await;
    }

    /// All requests so far, with their fates.
    pub(crate) fn asked(&self) -> Vec<(Asked, Fate)> {
        self.shared.asked.lock().unwrap().clone()
    }
}

/// Serves one connection, until the client or a fault ends it.
async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    // A second handle on the socket: hyper keeps the first one to itself.
    let stream = stream.into_std().unwrap();
    let twin = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
    let stream = TcpStream::from_std(stream).unwrap();
    let (end, mut ended) = mpsc::channel(1);
    let service = service_fn(|request| answer(Arc::clone(&shared), request, end.clone()));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ending = tokio::select! {
        _ = &mut serving => return,
        ending = ended.recv() => ending,
    };
    match ending {
        Some(Ending::ClosedAfterAnswer) => {
            tokio::select! {
                _ = &mut serving => {}
                () = shared.environment.sleep(FLUSHED) => {}
            }
        }
        // Unsent data is discarded, and the client gets a reset.
        Some(Ending::Reset) => twin.set_zero_linger().unwrap(),
        Some(Ending::Closed) | None => {}
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    end: mpsc::Sender<Ending>,
) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let path = head
        .uri
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    let asked = Asked {
        method: head.method,
        path,
        headers: end_to_end(&head.headers),
        body: body.collect().await?.to_bytes(),
    };
    let fate = if shared.healed.load(Ordering::SeqCst) {
        Fate::Fine
    } else {
        (shared.decide)(&asked)
    };
    shared.asked.lock().unwrap().push((asked.clone(), fate));
    // In a task of its own: a request under way arrives even if nobody waits for its response.
    let task = shared.late.spawn(carry_out(Arc::clone(&shared), asked, fate));
    let met = task.await.unwrap();
    let ending = match &met {
        Delivery::Answer(_) if fate == Fate::FineAndClosed => Some(Ending::ClosedAfterAnswer),
        Delivery::Answer(_) => None,
        Delivery::Closed => Some(Ending::Closed),
        Delivery::Reset => Some(Ending::Reset),
    };
    if let Some(ending) = ending {
        end.send(ending).await.unwrap();
    }
    match met {
        Delivery::Answer(answer) => Ok(answer),
        // The connection ends while this waits.
        Delivery::Closed | Delivery::Reset => std::future::pending().await,
    }
}

/// The outcome of a request for the client.
enum Delivery {
    Answer(Answer),
    Closed,
    Reset,
}

async fn carry_out(shared: Arc<Shared>, asked: Asked, fate: Fate) -> Delivery {
    let later = |delay: Duration| {
        let (own, asked) = (Arc::clone(&shared), asked.clone());
        shared.late.spawn(async move {
            own.environment.sleep(delay).await;
            own.forward(&asked).await;
        });
    };
    match fate {
        Fate::Fine | Fate::FineAndClosed => Delivery::Answer(shared.forward(&asked).await),
        Fate::Slow(delay) => {
            shared.environment.sleep(delay).await;
            Delivery::Answer(shared.forward(&asked).await)
        }
        Fate::Lost => Delivery::Closed,
        Fate::LostAndReset => Delivery::Reset,
        Fate::LostBadGateway => Delivery::Answer(bad_gateway()),
        Fate::Busy => Delivery::Answer(busy()),
        Fate::AnswerLost => {
            shared.forward(&asked).await;
            Delivery::Closed
        }
        Fate::AnswerLostAndReset => {
            shared.forward(&asked).await;
            Delivery::Reset
        }
        Fate::AnswerBadGateway => {
            shared.forward(&asked).await;
            Delivery::Answer(bad_gateway())
        }
        Fate::AnswerCut => Delivery::Answer(cut(shared.forward(&asked).await).await),
        Fate::Twice => {
            let answer = shared.forward(&asked).await;
            shared.forward(&asked).await;
            Delivery::Answer(answer)
        }
        Fate::TwiceSecondAnswer => {
            shared.forward(&asked).await;
            Delivery::Answer(shared.forward(&asked).await)
        }
        Fate::Again(delay) => {
            let answer = shared.forward(&asked).await;
            later(delay);
            Delivery::Answer(answer)
        }
        Fate::Late(delay) => {
            later(delay);
            Delivery::Closed
        }
        Fate::LateBadGateway(delay) => {
            later(delay);
            Delivery::Answer(bad_gateway())
        }
    }
}

impl Shared {
    /// Forwards the request to the server.
    async fn forward(&self, asked: &Asked) -> Answer {
        let answered = self
            .http
            .request(asked.method.clone(), format!("{}{}", self.upstream, asked.path))
            .headers(asked.headers.clone())
            .body(asked.body.clone())
            .send()
            .await;
        // A server that is gone, before or during the response, is a bad gateway.
        let Ok(answered) = answered else {
            return bad_gateway();
        };
        let (status, headers) = (answered.status(), end_to_end(answered.headers()));
        let Ok(body) = answered.bytes().await else {
            return bad_gateway();
        };
        let mut answer = Response::new(whole(body));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        answer
    }
}

/// The headers that are passed on: all but those of the connection.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const CONNECTION_HEADERS: [HeaderName; 5] = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mut headers = headers.clone();
    for name in CONNECTION_HEADERS {
        headers.remove(name);
    }
    headers
}

fn whole(body: Bytes) -> BoxBody<Bytes, std::io::Error> {
    Full::new(body).map_err(|never| match never {}).boxed()
}

/// Half of a response, with the length of the whole.
async fn cut(answer: Answer) -> Answer {
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    head.headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = Ok(Frame::data(body.slice(..body.len() / 2)));
    let rest = Err(std::io::ErrorKind::ConnectionReset.into());
    Response::from_parts(head, StreamBody::new(stream::iter([half, rest])).boxed())
}

fn bad_gateway() -> Answer {
    let mut answer = Response::new(whole(Bytes::from_static(
        b"<html><h1>502 Bad Gateway</h1></html>",
    )));
    *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
    let html = HeaderValue::from_static("text/html");
    answer.headers_mut().insert(header::CONTENT_TYPE, html);
    answer
}

fn busy() -> Answer {
    let text = r#"{"code":429,"error":"Too many requests."}"#;
    let mut answer = Response::new(whole(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
