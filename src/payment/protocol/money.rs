//! Amounts of money in integer minor units (fen). There are three types, so that a sign cannot get lost. Every
//! operation is checked; no floating-point number ever stands for an amount.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::model::value::{INTEGER_MAX, as_integer};
use crate::model::{CloudError, Document, ErrorCode, Value};
use crate::payment::protocol::error::ProtocolError;

/// The amount of a payment: 1 to 10^12 minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// The balance of a field, within ±(2^53 − 1) minor units. It is negative only after an operator's adjustment allowed
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Balance(i64);

/// The change of a field by a leg, within ±(2^53 − 1) minor units; the only one of the three types with a sign of its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delta(i64);

// Clients hold numbers as doubles: everything that can be an amount must be exact there.
const _: () = assert!(Amount::MAX.0 < INTEGER_MAX);

impl Amount {
    /// The smallest amount.
    pub const MIN: Self = Self(1);
    /// The largest amount: thousand times less than what a double holds exactly, so that sums stay exact too.
    pub const MAX: Self = Self(1_000_000_000_000);

    /// Returns the amount, if `units` is in range.
    #[must_use]
    pub fn new(units: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&units)
            .then_some(Self(units))
    }

    /// Reads an amount from outside: `100` and `100.0` are 100; `100.5`, `"100"`, `null`, zero and negative numbers are
    /// refused.
    ///
    /// # Errors
    /// 9001.
    pub fn from_value(value: &Value) -> Result<Self, CloudError> {
        as_integer(value).and_then(Self::new).ok_or_else(|| {
            CloudError::new(
                ErrorCode::INVALID_AMOUNT,
                "An amount is an integer from 1 to 1000000000000 in minor units (fen).",
            )
        })
    }

    /// Returns `quantity` times this amount, if that is still an amount.
    #[must_use]
    pub fn times(self, quantity: u32) -> Option<Self> {
        self.0.checked_mul(i64::from(quantity)).and_then(Self::new)
    }

    /// Minor units.
    #[must_use]
    pub fn units(self) -> i64 {
        self.0
    }

    /// The credit of this amount.
    #[must_use]
    pub fn credit(self) -> Delta {
        Delta(self.0)
    }

    /// The debit of this amount.
    #[must_use]
    pub fn debit(self) -> Delta {
        // Amounts are at most 10^12, so the negation exists.
        Delta(0_i64.saturating_sub(self.0))
    }
}

impl Balance {
    /// Reads the balance in the field `key` of a document; an absent field counts as 0.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] for null, a fraction, text, or a number beyond 2^53 − 1.
    pub fn of(document: &Document, key: &str) -> Result<Self, ProtocolError> {
        match document.get(key) {
            None => Ok(Self(0)),
            Some(value) => as_integer(value)
                .map(Self)
                .ok_or_else(|| ProtocolError::malformed(key, "an integer, or absent")),
        }
    }

    /// Minor units.
    #[must_use]
    pub fn units(self) -> i64 {
        self.0
    }

    /// Returns the balance after `delta`; `None` beyond ±(2^53 − 1).
    #[must_use]
    pub fn checked_add(self, delta: Delta) -> Option<Self> {
        let units = self.0.checked_add(delta.0)?;
        (units.unsigned_abs() <= INTEGER_MAX.unsigned_abs()).then_some(Self(units))
    }
}

impl Delta {
    /// Returns the change by `units`, if it is within ±(2^53 − 1).
    #[must_use]
    pub fn new(units: i64) -> Option<Self> {
        (units.unsigned_abs() <= INTEGER_MAX.unsigned_abs()).then_some(Self(units))
    }

    /// Minor units, with their sign.
    #[must_use]
    pub fn units(self) -> i64 {
        self.0
    }

    /// The opposite change.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self(0_i64.saturating_sub(self.0))
    }

    /// Returns the sum of both changes; `None` beyond ±(2^53 − 1).
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }
}

macro_rules! plain {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.0)
            }
        }

        impl From<$name> for Value {
            fn from(money: $name) -> Self {
                Self::from(money.0)
            }
        }
    )*};
}

plain!(Amount, Balance, Delta);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amount_from_json_accepts_integers_in_range() {
        for (value, expected) in [
            (json!(1), Some(1)),
            (json!(100.0), Some(100)),
            (json!(1_000_000_000_000_i64), Some(1_000_000_000_000)),
            (json!(1_000_000_000_001_i64), None),
            (json!(9_007_199_254_740_993_i64), None),
            (json!(0), None),
            (json!(-1), None),
            (json!(100.5), None),
            (json!("100"), None),
            (json!(null), None),
            (json!(true), None),
            (json!([100]), None),
            (json!(1e300), None),
        ] {
            match Amount::from_value(&value) {
                Ok(amount) => assert_eq!(Some(amount.units()), expected, "{value}"),
                Err(error) => {
                    assert_eq!(expected, None, "{value}");
                    assert_eq!(error.code, ErrorCode::INVALID_AMOUNT);
                }
            }
        }
    }

    #[test]
    fn amount_times_quantity_stays_in_range() {
        let price = Amount::new(400_000_000_000).unwrap();
        assert_eq!(price.times(2).map(Amount::units), Some(800_000_000_000));
        assert_eq!(price.times(3), None);
        assert_eq!(price.times(0), None);
        assert_eq!(price.times(u32::MAX), None);
    }

    #[test]
    fn balance_other_than_integer_or_absent_is_malformed() {
        let document = |value: Value| Document::from_iter([("account".to_owned(), value)]);
        assert_eq!(Balance::of(&Document::new(), "account").unwrap().units(), 0);
        assert_eq!(Balance::of(&document(json!(7.0)), "account").unwrap().units(), 7);
        for bad in [json!(null), json!(7.5), json!("7")] {
            assert!(Balance::of(&document(bad), "account").is_err());
        }
    }

    #[test]
    fn sums_beyond_the_range_are_none() {
        let most = INTEGER_MAX;
        assert_eq!(Delta::new(most).map(Delta::units), Some(most));
        assert_eq!(Delta::new(-most).map(Delta::units), Some(-most));
        assert_eq!(Delta::new(most + 1), None);
        assert_eq!(Delta::new(-most - 1), None);
        assert_eq!(Delta::new(i64::MIN), None);
        let sum = |balance: i64, delta: i64| {
            let sum = Balance(balance).checked_add(Delta::new(delta).unwrap());
            sum.map(Balance::units)
        };
        assert_eq!(sum(5, -7), Some(-2));
        assert_eq!(sum(most - 1, 1), Some(most));
        assert_eq!(sum(most, 1), None);
        assert_eq!(sum(-most, -1), None);
        assert_eq!(sum(most, -most), Some(0));
    }
}
