//! Benchmark of the engine: calls of a hello function with authentication, compared with a bare axum handler with the same
//! JSON and the same layers; time and memory of a start; memory of idle connections.
//!
//! `cargo bench --bench engine`, with the options `-- --rounds 9 --seconds 1 --connections 10000`. Server and load are two
//! processes, the server on one thread. The two sides take turns, and which begins alternates.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark prints, measures time, and fails by panicking"
)]

mod load;
mod server;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server process. Killed when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(side: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", side])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut address).unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }

    /// Processor time used so far, in seconds, to the hundredth.
    fn processor_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u32 = fields[11..13]
            .iter()
            .map(|field| field.parse::<u32>().unwrap())
            .sum();
        f64::from(ticks) / 100.0
    }

    /// Resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: u64| {
        let place = arguments.iter().position(|argument| argument == name);
        place.map_or(default, |place| arguments[place + 1].parse().unwrap())
    };
    if let Some(place) = arguments.iter().position(|argument| argument == "--serve") {
        return server::serve(&arguments[place + 1]);
    }
    let connections = number("--connections", 10_000);
    if raise_limit(&arguments, connections) {
        return;
    }
    start_and_memory();
    rates(number("--rounds", 9), Duration::from_secs(number("--seconds", 1)));
    idle_connections(connections);
}

/// Runs the benchmark in a process with a sufficient limit of open files. Returns false if this process has it.
fn raise_limit(arguments: &[String], connections: u64) -> bool {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    let needed = connections + 100;
    if soft.is_none_or(|soft| soft >= needed) {
        return false;
    }
    let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
    let script = format!("ulimit -n {needed} && exec {}", quoted.join(" "));
    let status = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(
        status.success(),
        "the benchmark failed, or may not open {needed} files"
    );
    true
}

/// Measures the time of a start and the memory after it.
fn start_and_memory() {
    let mut starts: Vec<Duration> = (0..9)
        .map(|_| {
            let started = Instant::now();
            let server = Server::start("engine");
            load::once(&server.address);
            started.elapsed()
        })
        .collect();
    starts.sort_unstable();
    let server = Server::start("engine");
    load::once(&server.address);
    println!("start to first answer: {:.1?} (median of 9)", starts[4]);
    println!("idle memory: {:.1} MB", mebibytes(server.memory()));
}

/// One measurement of one side.
#[derive(Clone, Copy)]
struct Measured {
    /// Calls per second.
    rate: f64,
    /// Microseconds of the server's processor time per call: other programs on the machine do not change it.
    cost: f64,
}

/// Measures the calls per second of both sides, and their ratio.
fn rates(rounds: u64, time: Duration) {
    let (engine, bare) = (Server::start("engine"), Server::start("bare"));
    for server in [&engine, &bare] {
        load::run(&server.address, Duration::from_millis(500));
    }
    let measure = |server: &Server| {
        let before = server.processor_time();
        let rate = load::run(&server.address, time);
        let used = server.processor_time() - before;
        Measured {
            rate,
            cost: used * 1e6 / (rate * time.as_secs_f64()),
        }
    };
    let pairs: Vec<(Measured, Measured)> = (0..rounds)
        .map(|round| {
            if round % 2 == 0 {
                let ours = measure(&engine);
                (ours, measure(&bare))
            } else {
                let theirs = measure(&bare);
                (measure(&engine), theirs)
            }
        })
        .collect();
    let of = |value: fn(&(Measured, Measured)) -> f64| {
        let mut values: Vec<f64> = pairs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0], values[values.len() - 1])
    };
    let (ratio, lowest, highest) = of(|(ours, theirs)| ours.rate / theirs.rate);
    println!(
        "hello with authentication: {:.0} calls per second, bare axum {:.0}: {ratio:.3} (medians of {rounds} pairs, \
         {lowest:.3} to {highest:.3})",
        of(|(ours, _)| ours.rate).0,
        of(|(_, theirs)| theirs.rate).0
    );
    let (ratio, lowest, highest) = of(|(ours, theirs)| theirs.cost / ours.cost);
    println!(
        "processor time of the server per call: {:.1} us, bare axum {:.1} us: {ratio:.3} ({lowest:.3} to {highest:.3})",
        of(|(ours, _)| ours.cost).0,
        of(|(_, theirs)| theirs.cost).0
    );
}

/// Measures the memory of an idle connection after one response.
fn idle_connections(connections: u64) {
    let server = Server::start("engine");
    load::once(&server.address);
    let before = server.memory();
    let held = load::hold_idle(&server.address, connections);
    let after = server.memory();
    println!(
        "{connections} connections at rest: {:.1} KB each",
        (after.saturating_sub(before)) as f64 / connections as f64
    );
    drop(held);
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
