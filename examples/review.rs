//! Hooks of the class `Review`: they check a review and count the reviews of a course.
//!
//! The data are in LeanCloud, or in a paylog server started with `--engine http://127.0.0.1:4000`:
//! `LEANCLOUD_API_SERVER=http://127.0.0.1:3000 LEANCLOUD_APP_PORT=4000 LEANCLOUD_APP_ID=… cargo run --example review`,
//! with the four keys of `paylog-data/credentials.json`.

use paylog::client::{Client, WriteOptions};
use paylog::engine::{App, CurrentUser, HookObject, Object, State};
use paylog::model::{ClassName, CloudError, HookKind, Pointer, Update};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Review {
    stars: u8,
    text: String,
    course: Pointer,
}

/// Runs before the creation of a review. The returned fields are stored.
async fn check(mut review: Object<Review>, _: CurrentUser) -> Result<Object<Review>, CloudError> {
    if !(1..=5).contains(&review.stars) {
        return Err(CloudError::other("A review has one to five stars."));
    }
    review.text = review.text.trim().to_owned();
    Ok(review)
}

/// Runs after the response to the client. Suppresses the course's own hooks.
async fn count(review: Object<Review>, State(client): State<Client>) -> Result<(), CloudError> {
    let class = ClassName::parse("Course")?;
    let one_more = Update::new().increment("reviews", 1);
    let options = WriteOptions::new().ignore_hooks(&HookKind::ALL);
    let master = client.as_master()?;
    let courses = master.objects(&class);
    courses
        .update(&review.course.object_id, &one_more, options)
        .await
        .applied()?;
    Ok(())
}

async fn keep_stars(review: HookObject) -> Result<(), CloudError> {
    if review.updated_keys().iter().any(|key| key == "stars") {
        return Err(CloudError::other("The stars stay as they were given."));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    App::new()
        .before_save("Review", check)
        .after_save("Review", count)
        .before_update("Review", keep_stars)
        .serve_with(|client| client)
        .await
}
