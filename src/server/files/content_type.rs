//! The content type of a file, and its handling by browsers.

/// The type of a file without a known type.
pub(super) const UNKNOWN: &str = "application/octet-stream";

/// Length of a type, in bytes.
const LENGTH_MAX: usize = 100;

/// Returns the type of a file: the client's, if it is legal, or else by the extension of the name.
pub(in crate::server) fn of(client: Option<&str>, name: &str) -> String {
    let client = client.map(str::trim).filter(|client| is_type(client));
    if let Some(client) = client {
        return client.to_ascii_lowercase();
    }
    let by_name = extension(name).and_then(|extension| mime_guess::from_ext(&extension).first_raw());
    by_name.unwrap_or(UNKNOWN).to_owned()
}

/// The extension of a name, in lower case: at most ten letters and digits.
pub(super) fn extension(name: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let legal =
        (1..=10).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    legal.then(|| extension.to_ascii_lowercase())
}

/// True if a browser may display a file of this type. Every other file, above all one that may hold script, is only
/// downloaded.
pub(super) fn is_harmless(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.split_once('/') {
        Some(("audio" | "video", _)) => true,
        Some(("image", kind)) => !kind.contains("svg") && !kind.contains("xml"),
        _ => matches!(essence, "text/plain" | "application/pdf" | "application/json"),
    }
}

/// True for `type/subtype`, with or without parameters.
fn is_type(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_parameter = |byte: u8| byte.is_ascii_alphanumeric() || b" =;-_.\"'/+".contains(&byte);
    text.len() <= LENGTH_MAX
        && essence
            .trim()
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && parameters.bytes().all(is_parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_is_the_clients_or_by_extension() {
        assert_eq!(of(Some("Image/PNG"), "a.txt"), "image/png");
        assert_eq!(
            of(Some("text/plain; charset=utf-8"), "a"),
            "text/plain; charset=utf-8"
        );
        for nothing in [
            None,
            Some(""),
            Some("png"),
            Some("a/b\r\nX: y"),
            Some("/"),
            Some("a/b;é"),
        ] {
            assert_eq!(of(nothing, "photo.JPG"), "image/jpeg", "{nothing:?}");
        }
        assert_eq!(of(None, "unknown.thing"), UNKNOWN);
        assert_eq!(of(None, "none"), UNKNOWN);
        assert_eq!(extension("a.b.TAR"), Some("tar".into()));
        for none in ["a", "a.", "a.tar gz", "a.waytoolongforit", "a.é"] {
            assert_eq!(extension(none), None, "{none}");
        }
    }

    #[test]
    fn type_that_can_hold_script_is_not_displayed() {
        for shown in [
            "image/png",
            "video/mp4",
            "text/plain; charset=utf-8",
            "application/pdf",
        ] {
            assert!(is_harmless(shown), "{shown}");
        }
        for kept in [
            "text/html",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/xml",
            "application/javascript",
            UNKNOWN,
            "",
        ] {
            assert!(!is_harmless(kept), "{kept}");
        }
    }
}
