//! `cron.yaml`: functions that are called on a schedule.
//!
//! ```yaml
//! timeZone: Asia/Shanghai        # for all expressions; default UTC
//! jobs:
//!   - name: nightly              # key of its stored state
//!     function: cleanUp
//!     cron: 0 30 3 * * ?         # second minute hour day month weekday (1 to 7 are SUN to SAT)
//!     params: {days: 30}
//!   - name: often
//!     function: sweep
//!     every: 30                  # seconds
//!     attempts: 0                # retries after a failure; default 1
//!     backoff: 5                 # seconds between two attempts; default 60
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::engine::{App, CronJob, Schedule};
use crate::model::Document;

/// The file that is read if no other is named.
const DEFAULT_FILE: &str = "cron.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default)]
    jobs: Vec<Job>,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    name: String,
    function: String,
    #[serde(default)]
    params: Document,
    cron: Option<String>,
    every: Option<u64>,
    #[serde(default = "one")]
    attempts: u32,
    #[serde(default = "minute")]
    backoff: u64,
}

fn one() -> u32 {
    1
}

fn minute() -> u64 {
    60
}

/// Reads the jobs of the named file, or of `cron.yaml` in the working folder if it exists.
///
/// # Errors
/// A file that cannot be read; a job that is invalid.
pub(crate) fn read(named: Option<&Path>) -> Result<Vec<CronJob>> {
    let path: PathBuf = match named {
        Some(path) => path.to_owned(),
        None if Path::new(DEFAULT_FILE).exists() => DEFAULT_FILE.into(),
        None => return Ok(Vec::new()),
    };
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    parse(&text).with_context(|| format!("{} (--cron)", path.display()))
}

fn parse(text: &str) -> Result<Vec<CronJob>> {
    let file: File = serde_norway::from_str(text)?;
    let mut names = BTreeSet::new();
    file.jobs
        .into_iter()
        .map(|job| {
            // The unique ids of its tasks are composed of it and a time in milliseconds.
            if !(1..=40).contains(&job.name.chars().count()) {
                bail!("the name of a job must have 1 to 40 characters: \"{}\"", job.name);
            }
            if !names.insert(job.name.clone()) {
                bail!("there are two jobs named \"{}\"", job.name);
            }
            let schedule = match (&job.cron, job.every) {
                (Some(expression), None) => Schedule::cron(expression, &file.time_zone),
                (None, Some(seconds)) => Schedule::every(Duration::from_secs(seconds)),
                _ => bail!("the job \"{}\" needs either cron or every", job.name),
            };
            Ok(CronJob {
                schedule: schedule.with_context(|| format!("the job \"{}\"", job.name))?,
                name: job.name,
                function: job.function,
                params: job.params,
                attempts: job.attempts,
                backoff: job.backoff.saturating_mul(1000),
            })
        })
        .collect()
}

/// Refuses jobs of functions that the app does not define.
///
/// # Errors
/// Names the job and the function.
pub(crate) fn check<S>(jobs: &[CronJob], named: Option<&Path>, app: &App<S>) -> Result<()>
where
    S: Clone + Send + Sync + 'static,
{
    for job in jobs {
        if !app.has_function(&job.function) {
            bail!(
                "{}: the job \"{}\" calls the function \"{}\", which this app does not define",
                named.unwrap_or(Path::new(DEFAULT_FILE)).display(),
                job.name,
                job.function
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_is_read_with_its_schedule() {
        let text = "
            timeZone: Asia/Shanghai
            jobs:
              - {name: nightly, function: cleanUp, cron: 0 30 3 * * ?, params: {days: 30}}
              - {name: often, function: sweep, every: 30, attempts: 0, backoff: 5}
        ";
        let jobs = parse(text).unwrap();
        assert_eq!(
            jobs[0].schedule,
            Schedule::cron("0 30 3 * * ?", "Asia/Shanghai").unwrap()
        );
        assert_eq!(
            (jobs[0].params.integer("days"), jobs[0].attempts, jobs[0].backoff),
            (Some(30), 1, 60_000)
        );
        assert_eq!(
            jobs[1].schedule,
            Schedule::every(Duration::from_secs(30)).unwrap()
        );
        assert_eq!((jobs[1].attempts, jobs[1].backoff), (0, 5_000));
        assert!(parse("{}").unwrap().is_empty());
    }

    #[test]
    fn invalid_job_is_named() {
        for (text, word) in [
            ("jobs: [{name: a, function: f}]", "\"a\""),
            (
                "jobs: [{name: a, function: f, every: 1, cron: '* * * * * ?'}]",
                "either",
            ),
            ("jobs: [{name: a, function: f, every: 0}]", "one second"),
            ("jobs: [{name: a, function: f, cron: '* * * * *'}]", "six fields"),
            (
                "jobs: [{name: a, function: f, every: 1}, {name: a, function: g, every: 1}]",
                "two jobs",
            ),
            ("jobs: [{name: '', function: f, every: 1}]", "characters"),
            ("jobs: [{name: a, function: f, evry: 1}]", "evry"),
            (
                "timeZone: Nowhere/At_All\njobs: [{name: a, function: f, cron: '* * * * * ?'}]",
                "Nowhere",
            ),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
