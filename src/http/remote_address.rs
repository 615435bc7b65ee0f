//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};

/// The client's address: what a trusted proxy says (`Forwarded`, `X-Real-IP`, `X-Forwarded-For`), else the socket's.
///
/// In `Forwarded` the last address that is neither private nor loopback counts, as in the Node.js engine SDK: what
/// stands before it was written by the client itself. Without a trusted proxy the headers are ignored. `None` where
/// the listener did not tell.
#[must_use]
pub fn remote_address(headers: &HeaderMap, extensions: &Extensions, trust_proxy: bool) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let told = || {
        let forwarded = header("forwarded").and_then(forwarded_for);
        forwarded.or_else(|| {
            let plain = header("x-real-ip").or_else(|| header("x-forwarded-for"));
            plain
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(ToOwned::to_owned)
        })
    };
    trust_proxy.then(told).flatten().or_else(|| {
        let ConnectInfo(socket) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(socket.ip().to_canonical().to_string())
    })
}

/// The address in a `Forwarded` header (RFC 7239).
fn forwarded_for(header: &str) -> Option<String> {
    let mut seen = None;
    for element in header.rsplit(',') {
        let node = element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("for")
                .then(|| value.trim().trim_matches('"'))
        });
        let Some(address) = node.and_then(node_address) else {
            continue;
        };
        seen = Some(address.to_string());
        if is_public(address) {
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

    fn seen(headers: &[(&'static str, &'static str)], trust_proxy: bool) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 1))));
        remote_address(&headers, &extensions, trust_proxy)
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_nobody_else() {
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
