//! Arithmetic on numbers, which are integers or doubles.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Largest integer that a double, and so every client, represents exactly: 2^53 − 1.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// The value as an integer: a JSON integer, or a double without a fraction, within ±[`INTEGER_MAX`].
#[must_use]
pub fn as_integer(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    let integer = match number.as_i64() {
        Some(integer) => integer,
        None => {
            let double = number.as_f64()?;
            if double.fract() != 0.0 || double.abs() > 9_007_199_254_740_991.0 {
                return None;
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "integral and within 2^53, checked above"
            )]
            let integer = double as i64;
            integer
        }
    };
    (integer.unsigned_abs() <= INTEGER_MAX.unsigned_abs()).then_some(integer)
}

/// Compares two numbers exactly, without converting integers to doubles.
#[must_use]
pub fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => compare_with_double(a, b.as_f64().unwrap_or_default()),
        (None, Some(b)) => compare_with_double(b, a.as_f64().unwrap_or_default()).reverse(),
        (None, None) => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            a.partial_cmp(&b).unwrap_or(Ordering::Equal)
        }
    }
}

fn compare_with_double(integer: i128, double: f64) -> Ordering {
    // JSON integers have at most 64 bits. 1e30 is beyond them and well within i128.
    if double.abs() >= 1e30 {
        return if double > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        };
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within ±1e30 and truncated on purpose"
    )]
    let whole = double.trunc() as i128;
    integer
        .cmp(&whole)
        .then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal))
}

/// The sum; `None` if it exceeds the range of doubles.
pub(in crate::model) fn add_numbers(a: &Number, b: &Number) -> Option<Number> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64())
        && let Some(sum) = a.checked_add(b)
    {
        return Some(sum.into());
    }
    Number::from_f64(a.as_f64()? + b.as_f64()?)
}
