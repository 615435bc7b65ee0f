//! Nesting depth of hooks: a hook saves an object, whose hook saves another, and so on without end.
//!
//! The depth belongs to the task that runs a hook. A request made in that task carries it in [`HEADER`], and the server
//! refuses a request that is too deep. The official SDKs do not send it: their hooks are bounded by the number that may
//! run at the same time.

use std::future::Future;

/// Request header with the depth.
pub const HEADER: &str = "x-paylog-hook-depth";

tokio::task_local! {
    static DEPTH: u32;
}

/// Returns the depth of the current task; 0 outside of hooks.
#[must_use]
pub fn current() -> u32 {
    DEPTH.try_with(|depth| *depth).unwrap_or(0)
}

/// Runs `work` at `depth`. Tasks that it spawns begin at 0 again, unless they call this too.
pub fn at<F: Future>(depth: u32, work: F) -> impl Future<Output = F::Output> {
    // Not an async function: that would hold the work twice.
    DEPTH.scope(depth, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn depth_is_that_of_the_task() {
        assert_eq!(current(), 0);
        let inner = at(2, async { (current(), at(3, async { current() }).await) }).await;
        assert_eq!((inner, current()), ((2, 3), 0));
    }
}
