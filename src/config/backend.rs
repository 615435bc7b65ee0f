//! Location of the data: the embedded store in a folder, or LeanCloud's API.

use std::fmt;
use std::path::PathBuf;

use crate::config::variables::{SettingError, Variables};

const API_SERVER: &str = "LEANCLOUD_API_SERVER";

/// Default folder of the embedded store.
pub const DEFAULT_DATA: &str = "./paylog-data";

/// Location of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The embedded store in this folder.
    Embedded(PathBuf),
    /// LeanCloud's storage service, or one that speaks its API.
    LeanCloud(ApiServer),
}

/// Address of a server with LeanCloud's storage API: scheme, host, optional port, no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServer {
    url: String,
    host: String,
    port: u16,
}

impl Backend {
    /// Returns the backend selected by `--data`, `--database` and the environment.
    ///
    /// # Errors
    /// A database (not supported yet), an invalid address, or two backends at once.
    pub fn choose(
        data: Option<PathBuf>,
        database: Option<&str>,
        variables: &Variables,
    ) -> Result<Self, SettingError> {
        if let Some(url) = database {
            let kind = url.split(':').next().unwrap_or_default();
            return Err(SettingError::Contradiction(format!(
                "--database {kind}://…: keeping the data in PostgreSQL is not built yet. Omit the option to use \
                 the embedded store in {DEFAULT_DATA}"
            )));
        }
        match (variables.get(API_SERVER)?, data) {
            (Some(url), None) => Ok(Self::LeanCloud(ApiServer::parse(API_SERVER, url)?)),
            (Some(_), Some(data)) => Err(SettingError::Contradiction(format!(
                "{API_SERVER} and --data {} name two different places of the data: unset the one or omit the other",
                data.display()
            ))),
            (None, data) => Ok(Self::Embedded(data.unwrap_or_else(|| DEFAULT_DATA.into()))),
        }
    }
}

impl ApiServer {
    /// Parses an address such as `https://xyz.example.com`; `name` is the setting it comes from, for the error.
    ///
    /// # Errors
    /// [`SettingError::Address`].
    pub fn parse(name: &'static str, text: &str) -> Result<Self, SettingError> {
        let refuse = |reason: &str| SettingError::Address {
            name,
            value: text.to_owned(),
            reason: reason.to_owned(),
        };
        let uri: http::Uri = text
            .trim_end_matches('/')
            .parse()
            .map_err(|error: http::uri::InvalidUri| refuse(&error.to_string()))?;
        let default_port = match uri.scheme_str() {
            Some("https") => 443,
            Some("http") => 80,
            _ => return Err(refuse("it must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') || uri.path() != "/" || uri.query().is_some() {
            return Err(refuse(
                "only scheme, host and port belong here, such as https://api.example.com",
            ));
        }
        if authority.host().is_empty() {
            return Err(refuse("it names no host"));
        }
        Ok(Self {
            url: format!("{}://{authority}", uri.scheme_str().unwrap_or_default()),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
        })
    }

    /// The address without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host name or IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; by default the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_server_address_parses_or_is_refused_by_name() {
        for (text, url, host, port) in [
            (
                "https://a.example.com",
                "https://a.example.com",
                "a.example.com",
                443,
            ),
            (
                "http://a.example.com/",
                "http://a.example.com",
                "a.example.com",
                80,
            ),
            (
                "http://127.0.0.1:3000",
                "http://127.0.0.1:3000",
                "127.0.0.1",
                3000,
            ),
            ("http://[::1]:3000", "http://[::1]:3000", "::1", 3000),
        ] {
            let server = ApiServer::parse("X", text).unwrap();
            assert_eq!(
                (server.url(), server.host(), server.port()),
                (url, host, port),
                "{text}"
            );
        }
        for text in [
            "a.example.com",
            "ftp://a.example.com",
            "https://a.example.com/1.1",
            "https://me:secret@a.example.com",
            "https://",
            "not an address",
        ] {
            let error = ApiServer::parse("LEANCLOUD_API_SERVER", text).unwrap_err();
            assert!(
                error.to_string().starts_with("LEANCLOUD_API_SERVER is "),
                "{text}"
            );
        }
    }

    #[test]
    fn two_backends_at_once_are_refused() {
        let none = Variables::default();
        let api = Variables::of([(API_SERVER.to_owned(), "https://a.example.com".to_owned())]);
        assert_eq!(
            Backend::choose(None, None, &none),
            Ok(Backend::Embedded("./paylog-data".into()))
        );
        assert!(matches!(
            Backend::choose(None, None, &api),
            Ok(Backend::LeanCloud(_))
        ));
        assert!(Backend::choose(Some("x".into()), None, &api).is_err());
        let error = Backend::choose(None, Some("postgres://me:secret@host/db"), &none).unwrap_err();
        assert!(error.to_string().contains("not built yet"));
        assert!(!error.to_string().contains("secret"));
    }
}
