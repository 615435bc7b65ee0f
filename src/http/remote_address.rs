//! The client's address, and the server's address as the client knows it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, Uri};
use serde::{Serialize, Serializer};

/// A client's address. It becomes text only on use: most requests need none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteAddress {
    /// The address of the socket, or of a trusted proxy's `Forwarded`.
    Ip(IpAddr),
    /// The text of another header of a trusted proxy, or of the storage service.
    Reported(String),
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Reported(text) => f.write_str(text),
        }
    }
}

impl Serialize for RemoteAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Returns the client's address: from a trusted proxy (`Forwarded`, `X-Real-IP`, `X-Forwarded-For`), else from the socket.
///
/// In `Forwarded` the last address that is neither private nor loopback counts, as in the Node.js engine SDK: the client
/// itself may have written those before. Without a trusted proxy the headers are ignored. `None` if the listener does not
/// pass the address on.
#[must_use]
pub fn remote_address(
    headers: &HeaderMap,
    extensions: &Extensions,
    trust_proxy: bool,
) -> Option<RemoteAddress> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded_address = || {
        let forwarded = header("forwarded").and_then(forwarded);
        forwarded.map(|hop| RemoteAddress::Ip(hop.address)).or_else(|| {
            let plain = header("x-real-ip").or_else(|| header("x-forwarded-for"));
            plain
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(|text| RemoteAddress::Reported(text.to_owned()))
        })
    };
    trust_proxy.then(forwarded_address).flatten().or_else(|| {
        let ConnectInfo(socket) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(RemoteAddress::Ip(socket.ip().to_canonical()))
    })
}

/// Returns the server's address as the client knows it: scheme and host, without a slash at the end. The scheme is `https`
/// if a trusted proxy says so (`Forwarded`, `X-Forwarded-Proto`). Empty if the request names no legal host.
#[must_use]
pub fn base_url(uri: &Uri, headers: &HeaderMap, trust_proxy: bool) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = uri
        .authority()
        .map(Authority::as_str)
        .or_else(|| header("host"))
        .filter(|host| {
            host.parse::<Authority>()
                .is_ok_and(|parsed| !parsed.as_str().contains('@'))
        });
    let Some(host) = host else {
        return String::new();
    };
    let forwarded_proto = || {
        let forwarded = header("forwarded").and_then(|header| {
            let pairs = header.split([',', ';']).filter_map(|pair| pair.split_once('='));
            let mut protos = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
            protos.next().map(|(_, value)| value.trim().trim_matches('"'))
        });
        forwarded.or_else(|| header("x-forwarded-proto").map(str::trim))
    };
    let is_tls = trust_proxy && forwarded_proto().is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    format!("{}://{host}", if is_tls { "https" } else { "http" })
}

/// The client, by a `Forwarded` header (RFC 7239).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address: the last one in the header that is public, else the first one.
    pub address: IpAddr,
    /// True if the address is neither private nor loopback.
    pub is_public: bool,
    /// The client's protocol at that proxy: `http` or `https`, in lower case.
    pub protocol: Option<String>,
}

/// Reads a `Forwarded` header; `None` without an address in it.
#[must_use]
pub fn forwarded(header: &str) -> Option<Forwarded> {
    let mut seen = None;
    for element in header.rsplit(',') {
        let parameter = |wanted: &str| {
            element.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim()
                    .eq_ignore_ascii_case(wanted)
                    .then(|| value.trim().trim_matches('"'))
            })
        };
        let Some(address) = parameter("for").and_then(node_address) else {
            continue;
        };
        let is_public = is_public(address);
        seen = Some(Forwarded {
            address,
            is_public,
            protocol: parameter("proto").map(str::to_ascii_lowercase),
        });
        if is_public {
            break;
        }
    }
    seen
}

/// `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`; `None` for `unknown` and `_hidden`.
fn node_address(node: &str) -> Option<IpAddr> {
    if let Some(rest) = node.strip_prefix('[') {
        return rest.split(']').next()?.parse().ok();
    }
    node.parse().ok().or_else(|| node.split(':').next()?.parse().ok())
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_loopback() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_is_the_address_that_the_client_called() {
        let base = |uri: &str, headers: &[(&'static str, &'static str)], trust_proxy: bool| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            base_url(&uri.parse().unwrap(), &headers, trust_proxy)
        };
        let host = ("host", "api.example.com:8080");
        assert_eq!(base("/1.1/date", &[host], false), "http://api.example.com:8080");
        let forwarded = ("forwarded", "for=1.2.3.4;proto=https");
        assert_eq!(
            base("/", &[host, forwarded], true),
            "https://api.example.com:8080"
        );
        assert_eq!(
            base("/", &[host, forwarded], false),
            "http://api.example.com:8080"
        );
        let proto = ("x-forwarded-proto", "https");
        assert_eq!(
            base("/", &[("host", "[::1]:3000"), proto], true),
            "https://[::1]:3000"
        );
        assert_eq!(
            base("http://h2.example.com/", &[], false),
            "http://h2.example.com"
        );
        for odd in ["", "a b", "a/b", "user@host", "<script>"] {
            assert_eq!(base("/", &[("host", odd)], false), "", "{odd}");
        }
    }

    fn seen(headers: &[(&'static str, &'static str)], trust_proxy: bool) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 1))));
        remote_address(&headers, &extensions, trust_proxy).map(|address| address.to_string())
    }

    #[test]
    fn headers_count_from_trusted_proxy_alone() {
        let forwarded = (
            "forwarded",
            "for=203.0.113.7, for=198.51.100.2;proto=https, for=10.1.1.1",
        );
        assert_eq!(seen(&[forwarded], true).as_deref(), Some("198.51.100.2"));
        assert_eq!(seen(&[forwarded], false).as_deref(), Some("10.0.0.9"));
        let private = ("forwarded", "For=\"[fd00::1]:4711\", for=10.1.1.1:80");
        assert_eq!(seen(&[private], true).as_deref(), Some("fd00::1"));
        let real = [
            ("x-real-ip", "203.0.113.9"),
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
        ];
        assert_eq!(seen(&real, true).as_deref(), Some("203.0.113.9"));
        assert_eq!(seen(&real[1..], true).as_deref(), Some("1.1.1.1, 2.2.2.2"));
        let unparsable = [("forwarded", "for=unknown"), ("x-real-ip", "203.0.113.9")];
        assert_eq!(seen(&unparsable, true).as_deref(), Some("203.0.113.9"));
        assert_eq!(seen(&[], true).as_deref(), Some("10.0.0.9"));
    }
}
