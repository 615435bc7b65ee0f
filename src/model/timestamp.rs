//! Points in time with LeanCloud's precision of a millisecond.

use std::fmt;

use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;
use jiff::{SignedDuration, civil};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{CloudError, ErrorCode, Value};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, written `YYYY-MM-DDTHH:MM:SS.mmmZ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00.000Z.
    pub const EPOCH: Self = Self(0);

    /// 9999-12-31T23:59:59.999Z. Programs write it for "never".
    pub const LAST: Self = Self(253_402_300_799_999);

    /// Converts milliseconds since 1970, clamped to the years −9999 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(jiff::Timestamp::MIN.as_millisecond(), Self::LAST.0))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The time `millis` later (earlier if negative), clamped as in [`Timestamp::from_millis`].
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The typed value: `{"__type":"Date","iso":…}`.
    #[must_use]
    pub fn to_date(self) -> Value {
        serde_json::json!({"__type": "Date", "iso": self.to_string()})
    }

    /// Parses an ISO 8601 time with an offset or `Z`. Truncates to milliseconds.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_JSON`] (107) if the text is not a time.
    pub fn parse(text: &str) -> Result<Self, CloudError> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Self(time.as_millisecond())),
            Err(_) => parse_late(text)
                .ok_or_else(|| CloudError::new(ErrorCode::INVALID_JSON, format!("Invalid date '{text}'."))),
        }
    }
}

/// Epoch in civil time. jiff's timestamps end a day before the year 9999 does, so that every time zone can show
/// them; its civil times do not.
const CIVIL_EPOCH: civil::DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

fn parse_late(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let time = pieces.date().to_datetime(pieces.time()?);
    let millis = i64::try_from(time.duration_since(CIVIL_EPOCH).as_millis()).ok()?;
    let millis = millis.checked_sub(i64::from(offset.seconds()) * 1000)?;
    let is_late = (jiff::Timestamp::MAX.as_millisecond()..=Timestamp::LAST.0).contains(&millis);
    is_late.then_some(Timestamp(millis))
}

fn civil_time(time: Timestamp) -> civil::DateTime {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => Offset::UTC.to_datetime(time),
        Err(_) => CIVIL_EPOCH.saturating_add(SignedDuration::from_millis(time.0)),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = civil_time(*self);
        if time.year() < 0 {
            return write!(f, "{time:.3}Z");
        }
        // Every object has two times, and formatting them in one piece is far faster.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields: [(usize, usize, i32); 7] = [
            (0, 4, time.year().into()),
            (5, 2, time.month().into()),
            (8, 2, time.day().into()),
            (11, 2, time.hour().into()),
            (14, 2, time.minute().into()),
            (17, 2, time.second().into()),
            (20, 3, time.millisecond().into()),
        ];
        for (start, width, mut rest) in fields {
            for digit in text.iter_mut().skip(start).take(width).rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        }
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Accepts a text and `{"__type":"Date","iso":…}`, which some SDKs send.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2015-06-21T18:02:52.249Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Timestamp, A::Error> {
                let (mut is_date, mut iso) = (false, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "__type" => is_date = map.next_value::<String>()? == "Date",
                        "iso" => iso = Some(map.next_value::<String>()?),
                        _ => {
                            map.next_value::<de::IgnoredAny>()?;
                        }
                    }
                }
                match iso {
                    Some(iso) if is_date => Timestamp::parse(&iso).map_err(de::Error::custom),
                    _ => Err(de::Error::custom(r#"{"__type":"Date","iso":…} is expected"#)),
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn timestamp_converts_text_and_millis() {
        let time = Timestamp::parse("2015-06-21T20:02:52.249+02:00").unwrap();
        assert_eq!(time.as_millis(), 1_434_909_772_249);
        assert_eq!(time.to_string(), "2015-06-21T18:02:52.249Z");
        assert_eq!(Timestamp::from_millis(time.as_millis()), time);
        assert_eq!(time.plus_millis(-1_434_909_772_249), Timestamp::EPOCH);
        assert_eq!(time.plus_millis(i64::MAX), Timestamp::from_millis(i64::MAX));
        assert_eq!(
            Timestamp::parse("yesterday").unwrap_err().code,
            ErrorCode::INVALID_JSON
        );
    }

    /// A time that stands for "never" must not wrap around to 1970.
    #[test]
    fn first_and_last_timestamp_round_trip() {
        let last = "9999-12-31T23:59:59.999Z";
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), last);
        for late in [last, "9999-12-30T22:00:00.999Z", "9999-12-31T00:00:00.000Z"] {
            assert_eq!(Timestamp::parse(late).unwrap().to_string(), late);
        }
        let elsewhere = Timestamp::parse("9999-12-31T23:59:59.9999+08:00").unwrap();
        assert_eq!(elsewhere.to_string(), "9999-12-31T15:59:59.999Z");
        for beyond in [
            "9999-12-31T23:59:59-01:00",
            "9999-12-31T23:59:59",
            "9999-12-32T00:00:00Z",
        ] {
            assert!(Timestamp::parse(beyond).is_err(), "{beyond}");
        }
        let first = Timestamp::from_millis(i64::MIN);
        assert_eq!(Timestamp::parse(&first.to_string()), Ok(first));
        assert!(first < Timestamp::EPOCH);
    }

    #[test]
    fn both_wire_forms_are_parsed() {
        let time = Timestamp::from_millis(1_434_909_772_249);
        assert_eq!(
            serde_json::to_value(time).unwrap(),
            json!("2015-06-21T18:02:52.249Z")
        );
        let read = |value: Value| serde_json::from_value::<Timestamp>(value);
        assert_eq!(read(json!("2015-06-21T18:02:52.249Z")).unwrap(), time);
        assert_eq!(read(time.to_date()).unwrap(), time);
        let error = read(json!(7)).unwrap_err().to_string();
        assert!(error.contains("a time such as"), "{error}");
        for bad in [
            json!({"iso": "2015-06-21T18:02:52.249Z"}),
            json!({"__type": "File", "iso": "2015-06-21T18:02:52.249Z"}),
            json!({"__type": "Date"}),
            json!("yesterday"),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn timestamp_displays_as_iso_8601() {
        let mut millis: Vec<i64> = (0..2000)
            .map(|n| n * 86_413_777_919 - 60_000_000_000_000)
            .collect();
        let bounds = [
            jiff::Timestamp::MIN.as_millisecond(),
            -62_167_219_200_001,
            -62_167_219_200_000,
            -1,
            0,
            951_782_399_999,
            951_782_400_000,
            jiff::Timestamp::MAX.as_second() * 1000,
        ];
        millis.extend(bounds);
        for millis in millis {
            let expected = jiff::Timestamp::from_millisecond(millis).unwrap();
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string(), format!("{expected:.3}"));
            assert_eq!(Timestamp::parse(&time.to_string()).unwrap(), time);
        }
    }
}
