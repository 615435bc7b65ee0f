//! The wire form of query parameters.

use crate::model::value::as_integer;
use crate::model::{CloudError, Document, Filter, KeyPath, Keys, OrderKey, Query, Value};

impl Query {
    /// Parses the parameters of a URL (all values text) or of a batch element (`where` an object, numbers numbers).
    /// Ignores other parameters.
    ///
    /// # Errors
    /// 107 if `where` or a number is malformed; the errors of [`Filter::parse`].
    pub fn parse(parameters: &Document) -> Result<Self, CloudError> {
        Self::parse_at(parameters, 0)
    }

    /// As [`Query::parse`], `depth` levels inside a filter.
    pub(in crate::model) fn parse_at(parameters: &Document, depth: usize) -> Result<Self, CloudError> {
        let mut query = Self::default();
        for (name, value) in parameters.iter() {
            match name.as_str() {
                "where" => query.filter = parse_where(value, depth)?,
                "order" => query.order = OrderKey::parse_list(list(name, value)?),
                "limit" => query.limit = limit(number(name, value)?),
                "skip" => query.skip = u32::try_from(number(name, value)?.max(0)).unwrap_or(u32::MAX),
                "count" => query.count = flag(value),
                "keys" => query.keys = Some(Keys::parse(list(name, value)?)).filter(|keys| !keys.is_empty()),
                "include" => query.include = names(list(name, value)?).map(KeyPath::new).collect(),
                "returnACL" => query.return_acl = flag(value),
                _ => {}
            }
        }
        Ok(query)
    }

    /// The parameters of a URL. Omits defaults.
    #[must_use]
    pub fn to_parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        let mut add = |name, differs, text: &dyn Fn() -> String| {
            if differs {
                parameters.push((name, text()));
            }
        };
        add("where", self.filter != Filter::all(), &|| {
            self.filter.to_value().to_string()
        });
        add("order", !self.order.is_empty(), &|| {
            OrderKey::to_list(&self.order)
        });
        add("limit", self.limit != Self::LIMIT_DEFAULT, &|| {
            self.limit.to_string()
        });
        add("skip", self.skip != 0, &|| self.skip.to_string());
        add("count", self.count, &|| "1".to_owned());
        let keys = self.keys.as_ref();
        add("keys", keys.is_some_and(|keys| !keys.is_empty()), &|| {
            keys.map(Keys::to_list).unwrap_or_default()
        });
        add("include", !self.include.is_empty(), &|| join(&self.include));
        add("returnACL", self.return_acl, &|| "true".to_owned());
        parameters
    }
}

impl OrderKey {
    /// The wire form: `a,-b`.
    #[must_use]
    pub fn to_list(keys: &[Self]) -> String {
        let names: Vec<String> = keys
            .iter()
            .map(|key| match key.direction {
                crate::model::Direction::Ascending => key.key.to_string(),
                crate::model::Direction::Descending => format!("-{}", key.key),
            })
            .collect();
        names.join(",")
    }
}

impl Keys {
    /// Parses `a,-b,c.d`. Ignores blanks around the commas.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut keys = Self::default();
        for name in names(text) {
            match name.strip_prefix('-') {
                Some(name) => keys.except.push(KeyPath::new(name)),
                None => keys.only.push(KeyPath::new(name)),
            }
        }
        keys
    }

    /// The wire form.
    #[must_use]
    pub fn to_list(&self) -> String {
        let except = self.except.iter().map(|key| format!("-{key}"));
        let names: Vec<String> = self.only.iter().map(ToString::to_string).chain(except).collect();
        names.join(",")
    }

    /// True if no field is named, so that responses hold all fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.only.is_empty() && self.except.is_empty()
    }
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn join(keys: &[KeyPath]) -> String {
    let names: Vec<&str> = keys.iter().map(KeyPath::as_str).collect();
    names.join(",")
}

fn parse_where(value: &Value, depth: usize) -> Result<Filter, CloudError> {
    match value {
        Value::Null => Ok(Filter::all()),
        Value::String(text) if text.trim().is_empty() => Ok(Filter::all()),
        Value::String(text) => {
            let value = serde_json::from_str(text)
                .map_err(|error| CloudError::malformed(format!("'where' is not valid JSON: {error}.")))?;
            Filter::parse_at(&value, depth)
        }
        value => Filter::parse_at(value, depth),
    }
}

fn list<'a>(name: &str, value: &'a Value) -> Result<&'a str, CloudError> {
    match value {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        _ => Err(CloudError::malformed(format!(
            "'{name}' must be text: names joined by commas."
        ))),
    }
}

fn number(name: &str, value: &Value) -> Result<i64, CloudError> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => as_integer(value),
    }
    .ok_or_else(|| CloudError::malformed(format!("'{name}' must be an integer.")))
}

/// Clamps a limit: above the maximum counts as the maximum, a negative one as the default.
fn limit(number: i64) -> u32 {
    match u32::try_from(number) {
        Ok(number) => number.min(Query::LIMIT_MAX),
        Err(_) if number < 0 => Query::LIMIT_DEFAULT,
        Err(_) => Query::LIMIT_MAX,
    }
}

fn flag(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "0" | "false"),
        _ => false,
    }
}
