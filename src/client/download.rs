//! Files from the addresses that their rows name.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use crate::client::transport::{causes, user_agent};
use crate::client::{BuildError, ClientError, Retry};

/// Redirects that are followed: a file domain leads to a CDN, and that perhaps to another.
const REDIRECTS_MAX: usize = 5;

/// How long connecting may take, and each piece of the content.
const PATIENCE: Duration = Duration::from_secs(30);

/// Downloads files. No key and no token is ever sent: files are public to whoever knows their address.
#[derive(Clone, Debug)]
pub struct Downloads {
    /// For `http://`: the machine may have no certificates.
    plain: reqwest::Client,
    tls: Option<reqwest::Client>,
}

impl Downloads {
    /// Makes the pools of connections.
    ///
    /// # Errors
    /// Where no connection can be made at all.
    pub fn new() -> Result<Self, BuildError> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(user_agent())
                .connect_timeout(PATIENCE)
                .read_timeout(PATIENCE)
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

    /// The content of a file, piece by piece; `None` where there is none (404, 410, and 403, which is what object
    /// storage answers for it).
    ///
    /// # Errors
    /// [`ClientError`]; whatever it is, asking again does no harm.
    pub async fn get(
        &self,
        url: &str,
    ) -> Result<Option<impl Stream<Item = io::Result<Bytes>> + Send + 'static>, ClientError> {
        let client = match (url.starts_with("https://"), &self.tls) {
            (false, _) => &self.plain,
            (true, Some(tls)) => tls,
            (true, None) => {
                let reason = "this machine has no certificates, so that https:// cannot be used";
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
        let pieces = stream::try_unfold(response, |mut response| async move {
            let piece = response.chunk().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, response)))
        });
        Ok(Some(pieces))
    }
}
