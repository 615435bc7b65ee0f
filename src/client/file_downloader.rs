//! Downloads of files from the URLs in their `_File` objects.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use crate::client::transport::{causes, user_agent};
use crate::client::{BuildError, ClientError, Retry};

/// Most redirects that are followed: a file domain leads to a CDN, and that perhaps to another one.
const REDIRECTS_MAX: usize = 5;

/// Time-out of connecting, and of each chunk of the content.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Downloads files. No key and no token is sent: a file is public to everybody who knows its URL.
#[derive(Clone, Debug)]
pub struct FileDownloader {
    /// Client for `http://`: the machine may have no certificates.
    plain: reqwest::Client,
    tls: Option<reqwest::Client>,
}

impl FileDownloader {
    /// Makes the connection pools.
    ///
    /// # Errors
    /// [`BuildError`] if the HTTP library cannot be set up.
    pub fn new() -> Result<Self, BuildError> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(user_agent())
                .connect_timeout(TIMEOUT)
                .read_timeout(TIMEOUT)
                .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
                .referer(false)
                .no_proxy()
        };
        let failed = |error: reqwest::Error| BuildError::new("server_url", causes(&error));
        Ok(Self {
            plain: builder()
                .tls_certs_only(std::iter::empty())
                .build()
                .map_err(failed)?,
            tls: builder().build().ok(),
        })
    }

    /// Downloads a file in chunks; `None` if there is no file (404, 410, and 403, which object storage returns for an
    /// absent file).
    ///
    /// # Errors
    /// [`ClientError`]; a repetition never does harm.
    pub async fn get(
        &self,
        url: &str,
    ) -> Result<Option<impl Stream<Item = io::Result<Bytes>> + Send + 'static>, ClientError> {
        let client = match (url.starts_with("https://"), &self.tls) {
            (false, _) => &self.plain,
            (true, Some(tls)) => tls,
            (true, None) => {
                let reason = "this machine has no certificates, so https:// cannot be used";
                return Err(ClientError::Invalid(reason.to_owned()));
            }
        };
        let failed = |error: reqwest::Error| ClientError::NoAnswer {
            reason: causes(&error.without_url()),
            retry: Retry::SameRequest,
        };
        let response = client.get(url).send().await.map_err(failed)?;
        match response.status().as_u16() {
            200 => {}
            403 | 404 | 410 => return Ok(None),
            status => {
                return Err(ClientError::NoAnswer {
                    reason: format!("HTTP {status}"),
                    retry: Retry::SameRequest,
                });
            }
        }
        let chunks = stream::try_unfold(response, |mut response| async move {
            let chunk = response.chunk().await.map_err(io::Error::other)?;
            Ok(chunk.map(|chunk| (chunk, response)))
        });
        Ok(Some(chunks))
    }
}
