//! A time that may never come.

use tokio::time::Instant;

/// Completes at a time; never, if there is none.
pub async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
