//! When something is to happen again and again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::{Document, Timestamp};

/// A function that is called again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct CronJob {
    /// Unique among an app's jobs. Its state is kept under this name.
    pub name: String,
    /// The function to call, internal or not, with no user.
    pub function: String,
    /// Its parameters.
    pub params: Document,
    /// When.
    pub schedule: Schedule,
    /// How often a call is tried again after a failure.
    pub attempts: u32,
    /// Milliseconds between a failure and the next try.
    pub backoff: u64,
}

/// When a job is due.
#[derive(Clone)]
pub struct Schedule {
    source: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Every(Duration),
    Cron(Box<jiff_cron::Schedule>, TimeZone),
}

/// A schedule that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// An expression that cannot be read.
    #[error(
        "\"{expression}\" is no cron expression: six fields are expected, second minute hour day month weekday \
         (1 to 7 are SUN to SAT), such as \"0 30 3 * * ?\" for half past three every day ({reason})"
    )]
    Expression {
        /// As it was written.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An expression that never comes true.
    #[error("\"{0}\" never comes true")]
    Never(String),
    /// An unknown time zone.
    #[error("\"{0}\" is no time zone that this machine knows; write one like Asia/Shanghai, or UTC")]
    TimeZone(String),
    /// An interval that is too short.
    #[error("an interval must be at least one second")]
    Interval,
}

impl Schedule {
    /// Every so often, from the time on at which the job is first known.
    ///
    /// # Errors
    /// [`CronError::Interval`]: less than a second.
    pub fn every(interval: Duration) -> Result<Self, CronError> {
        if interval < Duration::from_secs(1) {
            return Err(CronError::Interval);
        }
        Ok(Self {
            source: format!("every {} ms", interval.as_millis()),
            kind: Kind::Every(interval),
        })
    }

    /// By an expression of six fields, second minute hour day month weekday, in a time zone. Weekdays are 1 to 7 for
    /// Sunday to Saturday, or their names; `?` is `*`.
    ///
    /// # Errors
    /// [`CronError`].
    pub fn cron(expression: &str, time_zone: &str) -> Result<Self, CronError> {
        let wrong = |reason: String| CronError::Expression {
            expression: expression.to_owned(),
            reason,
        };
        let fields = expression.split_whitespace().count();
        if fields != 6 {
            return Err(wrong(format!("there are {fields} fields")));
        }
        let zone = zone(time_zone).ok_or_else(|| CronError::TimeZone(time_zone.to_owned()))?;
        let parsed = jiff_cron::Schedule::from_str(expression).map_err(|error| wrong(error.to_string()))?;
        let schedule = Self {
            source: format!("{expression} {time_zone}"),
            kind: Kind::Cron(Box::new(parsed), zone),
        };
        match schedule.after(Timestamp::EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(CronError::Never(expression.to_owned())),
        }
    }

    /// The first time after `time`.
    #[must_use]
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Every(interval) => {
                let millis = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
                Some(time.plus_millis(millis))
            }
            Kind::Cron(schedule, zone) => {
                // Whole seconds: of a time between two, the library takes the next one without a look at the weekday.
                let second = jiff::Timestamp::from_second(time.as_millis().div_euclid(1000)).ok()?;
                let next = schedule.after(second.to_zoned(zone.clone())).next()?;
                Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
            }
        }
    }

    /// What it is, as text; another text is another schedule.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The two zones of LeanCloud need no database of time zones, which small containers do not have.
fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "UTC" => Some(TimeZone::UTC),
        "Asia/Shanghai" => Some(TimeZone::fixed(jiff::tz::offset(8))),
        other => TimeZone::get(other).ok(),
    }
}

/// By what was written.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::cron(expression, zone).unwrap();
        let mut time = Timestamp::parse(from).unwrap();
        let mut times = Vec::new();
        for _ in 0..count {
            time = schedule.after(time).unwrap();
            times.push(time.to_string());
        }
        times
    }

    #[test]
    fn expressions_mean_what_the_platform_means() {
        let at = |time: &str| format!("2026-11-{time}.000Z");
        // Half past three in Beijing is half past seven in the evening before, in UTC.
        assert_eq!(
            times("0 30 3 * * ?", "Asia/Shanghai", "2026-11-25T00:00:00Z", 2),
            [at("25T19:30:00"), at("26T19:30:00")]
        );
        // The 25th is a Wednesday; 2 is Monday, 7 Saturday.
        assert_eq!(
            times("0 0 12 ? * 2", "UTC", "2026-11-25T00:00:00Z", 1),
            [at("30T12:00:00")]
        );
        assert_eq!(
            times("0 0 12 ? * SAT", "UTC", "2026-11-25T11:59:59.500Z", 1),
            [at("28T12:00:00")]
        );
        assert_eq!(
            times("0 0 12 ? * 7", "UTC", "2026-11-25T11:59:59.500Z", 1),
            [at("28T12:00:00")]
        );
        assert_eq!(
            times("*/20 * * * * *", "UTC", "2026-11-25T00:00:00.001Z", 3),
            [at("25T00:00:20"), at("25T00:00:40"), at("25T00:01:00")]
        );
        assert_eq!(
            times("0 0 0 29 2 ?", "UTC", "2026-11-25T00:00:00Z", 1),
            ["2028-02-29T00:00:00.000Z"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for expression in [
            "",
            "* * * * *",
            "0 0 25 * * ?",
            "0 0 0 ? * MOON",
            "0 0 0 1 1 ? 2030",
        ] {
            let error = Schedule::cron(expression, "UTC").unwrap_err();
            assert!(
                matches!(error, CronError::Expression { .. }),
                "{expression}: {error}"
            );
        }
        assert_eq!(
            Schedule::cron("0 0 0 * * ?", "Mars/Olympus").unwrap_err(),
            CronError::TimeZone("Mars/Olympus".into())
        );
        assert!(Schedule::every(Duration::from_millis(999)).is_err());
    }
}
