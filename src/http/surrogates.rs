//! Lone surrogates in JSON.
//!
//! JavaScript can cut a string inside of an emoji, and writes the remaining half as an escape: `"\ud83c"`. The grammar of
//! JSON allows it (RFC 8259, section 8.2), but no UTF-8 text can hold it.

/// Returns the JSON text with U+FFFD for every lone surrogate; `None` if there is none.
pub(super) fn replace_lone(json: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::with_capacity(json.len());
    let mut rest = json;
    let mut found = false;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (plain, escape) = rest.split_at(at);
        mended.extend_from_slice(plain);
        let length = match unit(escape) {
            Some(0xd800..=0xdbff) if matches!(escape.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                mended.extend_from_slice(b"\\ufffd");
                found = true;
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            // The escaped character may be a backslash.
            _ => 2,
        };
        let (whole, behind) = escape.split_at(length.min(escape.len()));
        mended.extend_from_slice(whole);
        rest = behind;
    }
    mended.extend_from_slice(rest);
    found.then_some(mended)
}

/// The UTF-16 unit of an escape at the beginning of the text.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits = str::from_utf8(digits).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        for (json, read) in [
            (r#""abc\ud83c""#, "abc\u{fffd}"),
            (
                r#""\uDF89x\ud83c\ud83c\udf89\ud83c\\""#,
                "\u{fffd}x\u{fffd}🎉\u{fffd}\\",
            ),
            (r#""\\ud83c\ud83c""#, "\\ud83c\u{fffd}"),
            (r#""\ud83c\n\u0041\udf89""#, "\u{fffd}\nA\u{fffd}"),
        ] {
            assert!(serde_json::from_str::<String>(json).is_err(), "{json}");
            let mended = replace_lone(json.as_bytes()).unwrap();
            assert_eq!(serde_json::from_slice::<String>(&mended).unwrap(), read);
        }
        for whole in [
            r#""\ud83c\udf89\\ud83c\u00e9""#,
            r#""\\\\""#,
            "\\",
            "\\u",
            "\\ud83",
            "{",
            "",
        ] {
            assert_eq!(replace_lone(whole.as_bytes()), None, "{whole}");
        }
    }
}
