//! Cron jobs and their schedules.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::{Document, Timestamp};

/// A function that is called by a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct CronJob {
    /// Name of the job, unique in the app. The store keeps the job's timer under it.
    pub name: String,
    /// Function to call, internal or not, with no user.
    pub function: String,
    /// Parameters of the function.
    pub params: Document,
    /// Times of the calls.
    pub schedule: Schedule,
    /// Number of retries after a failure.
    pub attempts: u32,
    /// Milliseconds between a failure and the next retry.
    pub backoff: u64,
}

/// Schedule of a job.
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

/// Invalid schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// Malformed expression.
    #[error(
        "\"{expression}\" is not a cron expression: six fields are expected, second minute hour day month weekday \
         (1 to 7 are SUN to SAT), such as \"0 30 3 * * ?\" for half past three every day ({reason})"
    )]
    Expression {
        /// The expression as it was written.
        expression: String,
        /// Reason why it is malformed.
        reason: String,
    },
    /// Expression that never matches.
    #[error("\"{0}\" never matches")]
    Never(String),
    /// Unknown time zone.
    #[error("\"{0}\" is not a time zone known on this machine; write one like Asia/Shanghai, or UTC")]
    TimeZone(String),
    /// Interval that is too short.
    #[error("an interval must be at least one second")]
    Interval,
}

impl Schedule {
    /// A schedule by interval, counted from the first start of the job.
    ///
    /// # Errors
    /// [`CronError::Interval`] if the interval is less than a second.
    pub fn every(interval: Duration) -> Result<Self, CronError> {
        if interval < Duration::from_secs(1) {
            return Err(CronError::Interval);
        }
        Ok(Self {
            source: format!("every {} ms", interval.as_millis()),
            kind: Kind::Every(interval),
        })
    }

    /// A schedule by an expression of six fields, second minute hour day month weekday, in a time zone. Weekdays are 1 to
    /// 7 for Sunday to Saturday, or their names; `?` is `*`.
    ///
    /// # Errors
    /// [`CronError`] if the expression is malformed or never matches, or the time zone is unknown.
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

    /// Returns the first time after `time`.
    #[must_use]
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Every(interval) => {
                let millis = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
                Some(time.plus_millis(millis))
            }
            Kind::Cron(schedule, zone) => {
                // Whole seconds: from a time between two, the library steps to the next one without checking the weekday.
                let second = jiff::Timestamp::from_second(time.as_millis().div_euclid(1000)).ok()?;
                let next = schedule.after(second.to_zoned(zone.clone())).next()?;
                Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
            }
        }
    }

    /// Text of the schedule. Schedules are equal if their texts are.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Finds a time zone. LeanCloud's two zones need no time zone database, which small containers do not have.
fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "UTC" => Some(TimeZone::UTC),
        "Asia/Shanghai" => Some(TimeZone::fixed(jiff::tz::offset(8))),
        other => TimeZone::get(other).ok(),
    }
}

/// Compares the texts.
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
    fn cron_expressions_match_the_platform() {
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
    fn invalid_schedules_are_refused() {
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
