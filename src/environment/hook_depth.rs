//! How deep in hooks a piece of work is: a hook saves an object, whose hook saves another, and so on without end.
//!
//! Whoever runs a hook says so to the task that runs it; whoever makes a request in that task says it on the wire
//! ([`HEADER`]); and the server refuses what comes from too deep. The official SDKs do not say it: their hooks are bounded
//! by how many may run at the same time.

use std::future::Future;

/// The request header that tells the depth.
pub const HEADER: &str = "x-paylog-hook-depth";

tokio::task_local! {
    static DEPTH: u32;
}

/// How many hooks the present task is inside of; 0 outside of any.
#[must_use]
pub fn current() -> u32 {
    DEPTH.try_with(|depth| *depth).unwrap_or(0)
}

/// Runs `work` as `depth` hooks deep. Tasks that it spawns begin outside again, unless they are told.
pub fn at<F: Future>(depth: u32, work: F) -> impl Future<Output = F::Output> {
    // No async function: that would hold the work twice.
    DEPTH.scope(depth, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_depth_is_that_of_the_task() {
        assert_eq!(current(), 0);
        let inner = at(2, async { (current(), at(3, async { current() }).await) }).await;
        assert_eq!((inner, current()), ((2, 3), 0));
    }
}
