//! A bad network over real HTTP: a proxy between a client and a server that loses, repeats and delays requests, loses
//! and cuts answers, and breaks connections.
//!
//! Connections are kept alive as a good proxy keeps them, so that what breaks one request can meet the next one too.

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

/// Longer than a connection needs to take an answer that has been handed to it.
const FLUSHED: Duration = Duration::from_millis(5);

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It arrives, and so does its answer.
    Fine,
    /// As [`Fate::Fine`], and then the connection is closed without a word: the next request may be on its way.
    FineAndClosed,
    /// It arrives after so long; the answer comes then.
    Slow(Duration),
    /// It never arrives; the connection is closed.
    Lost,
    /// It never arrives; the connection is reset.
    LostAndReset,
    /// It never arrives; the proxy says 502.
    LostBadGateway,
    /// It never arrives: too many requests, says the proxy in LeanCloud's words.
    Busy,
    /// It arrives, its answer does not; the connection is closed.
    AnswerLost,
    /// It arrives, its answer does not; the connection is reset.
    AnswerLostAndReset,
    /// It arrives, its answer does not; the proxy says 502.
    AnswerBadGateway,
    /// It arrives, and half of its answer does.
    AnswerCut,
    /// It arrives twice at once, and is answered as the first time.
    Twice,
    /// The proxy itself repeats it, and passes the second answer on.
    TwiceSecondAnswer,
    /// It is answered, and arrives again after so long.
    Again(Duration),
    /// It arrives after so long; nobody waits for the answer by then.
    Late(Duration),
    /// The proxy says 502, and yet it arrives after so long.
    LateBadGateway(Duration),
}

impl Fate {
    /// Whether the server sees the request at all.
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

/// A request as the proxy got it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

type Decide = Box<dyn Fn(&Asked) -> Fate + Send + Sync>;

/// A proxy on a port of its own. Gone when the test ends.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    decide: Decide,
    healed: AtomicBool,
    asked: Mutex<Vec<(Asked, Fate)>>,
    /// What is still to arrive.
    late: TaskTracker,
    environment: Environment,
}

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Closed,
    ClosedAfterAnswer,
    Reset,
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

impl Proxy {
    /// A proxy before the server at `upstream`; `decide` says what becomes of each request.
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

    /// No more faults; waits until everything that is under way has arrived.
    pub(crate) async fn heal(&self) {
        self.shared.healed.store(true, Ordering::SeqCst);
        self.shared.late.close();
        self.shared.late.wait().await;
    }

    /// Every request so far and what became of it.
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
        // What is not sent yet is thrown away, and the client is told so.
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
    // In a task of its own: what is on its way arrives, whether or not somebody waits for the answer.
    let task = shared.late.spawn(meet(Arc::clone(&shared), asked, fate));
    let met = task.await.unwrap();
    let ending = match &met {
        Met::Answer(_) if fate == Fate::FineAndClosed => Some(Ending::ClosedAfterAnswer),
        Met::Answer(_) => None,
        Met::Closed => Some(Ending::Closed),
        Met::Reset => Some(Ending::Reset),
    };
    if let Some(ending) = ending {
        end.send(ending).await.unwrap();
    }
    match met {
        Met::Answer(answer) => Ok(answer),
        // The connection ends while this waits.
        Met::Closed | Met::Reset => std::future::pending().await,
    }
}

/// What the client meets.
enum Met {
    Answer(Answer),
    Closed,
    Reset,
}

async fn meet(shared: Arc<Shared>, asked: Asked, fate: Fate) -> Met {
    let later = |delay: Duration| {
        let (own, asked) = (Arc::clone(&shared), asked.clone());
        shared.late.spawn(async move {
            own.environment.sleep(delay).await;
            own.forward(&asked).await;
        });
    };
    match fate {
        Fate::Fine | Fate::FineAndClosed => Met::Answer(shared.forward(&asked).await),
        Fate::Slow(delay) => {
            shared.environment.sleep(delay).await;
            Met::Answer(shared.forward(&asked).await)
        }
        Fate::Lost => Met::Closed,
        Fate::LostAndReset => Met::Reset,
        Fate::LostBadGateway => Met::Answer(bad_gateway()),
        Fate::Busy => Met::Answer(busy()),
        Fate::AnswerLost => {
            shared.forward(&asked).await;
            Met::Closed
        }
        Fate::AnswerLostAndReset => {
            shared.forward(&asked).await;
            Met::Reset
        }
        Fate::AnswerBadGateway => {
            shared.forward(&asked).await;
            Met::Answer(bad_gateway())
        }
        Fate::AnswerCut => Met::Answer(cut(shared.forward(&asked).await).await),
        Fate::Twice => {
            let answer = shared.forward(&asked).await;
            shared.forward(&asked).await;
            Met::Answer(answer)
        }
        Fate::TwiceSecondAnswer => {
            shared.forward(&asked).await;
            Met::Answer(shared.forward(&asked).await)
        }
        Fate::Again(delay) => {
            let answer = shared.forward(&asked).await;
            later(delay);
            Met::Answer(answer)
        }
        Fate::Late(delay) => {
            later(delay);
            Met::Closed
        }
        Fate::LateBadGateway(delay) => {
            later(delay);
            Met::Answer(bad_gateway())
        }
    }
}

impl Shared {
    /// Lets the request arrive.
    async fn forward(&self, asked: &Asked) -> Answer {
        let answered = self
            .http
            .request(asked.method.clone(), format!("{}{}", self.upstream, asked.path))
            .headers(asked.headers.clone())
            .body(asked.body.clone())
            .send()
            .await;
        // A server that is gone, in the middle of an answer or before: a proxy's own words for both.
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

/// The headers that a proxy passes on.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const OF_THE_CONNECTION: [HeaderName; 5] = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mut headers = headers.clone();
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}

fn whole(body: Bytes) -> BoxBody<Bytes, std::io::Error> {
    Full::new(body).map_err(|never| match never {}).boxed()
}

/// Half of an answer that says how long it would have been.
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
