//! Parameters of a query string.

use crate::http::percent_decode;
use crate::model::{Document, Value};

/// Reads the parameters of a query string as text; of two with one name the last counts.
pub(super) fn parse_query(query: &str) -> Document {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(name), Value::String(form_decode(value)))
        })
        .collect()
}

/// Decodes `%41` and `+`.
fn form_decode(text: &str) -> String {
    if text.contains('+') {
        percent_decode(&text.replace('+', " ")).into_owned()
    } else {
        percent_decode(text).into_owned()
    }
}

/// True if a parameter is `true` or `1`, as text or as JSON.
pub(super) fn flag(parameters: &Document, name: &str) -> bool {
    match parameters.get(name) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    }
}

/// A parameter as text; `None` for an empty one.
pub(super) fn text<'a>(parameters: &'a Document, name: &str) -> Option<&'a str> {
    parameters.text(name).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_are_decoded() {
        let parsed = parse_query("where=%7B%22a%22%3A%22b+c%22%7D&limit=10&new&&x=%zz%4");
        assert_eq!(parsed.text("where"), Some(r#"{"a":"b c"}"#));
        assert_eq!(parsed.text("limit"), Some("10"));
        assert_eq!(parsed.text("new"), Some(""));
        assert_eq!(parsed.text("x"), Some("%zz%4"));
        assert_eq!(percent_decode("a%2Cb"), "a,b");
        assert_eq!(percent_decode("%ff"), "\u{fffd}");
    }

    #[test]
    fn flags_are_text_or_json() {
        let parameters = parse_query("a=true&b=1&c=false&d=yes");
        assert!(flag(&parameters, "a") && flag(&parameters, "b"));
        assert!(!flag(&parameters, "c") && !flag(&parameters, "d") && !flag(&parameters, "e"));
        let native = Document::from_iter([("a".to_owned(), true.into()), ("b".to_owned(), 1.into())]);
        assert!(flag(&native, "a") && flag(&native, "b"));
    }
}
