//! Jobs and restores from a snapshot, in memory, with time that is paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agentcore::testing::TestClient;
use agentcore::{App, BoxError};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::in_process::what_ran;

#[tokio::test(start_paused = true)]
async fn no_job_begins_after_a_restore_before_the_hooks_have_succeeded() {
    const TEST: &str = "restored";
    let (runs, permits) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    // The first run fails, and the second one waits for the test.
    let hook = {
        let (runs, permits) = (Arc::clone(&runs), Arc::clone(&permits));
        move || {
            let (runs, permits) = (Arc::clone(&runs), Arc::clone(&permits));
            async move {
                if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                    return Err(BoxError::from("the database is not there"));
                }
                permits.acquire().await?.forget();
                Ok(())
            }
        }
    };
    let app = App::from_registry().on_restore_within(Duration::from_secs(3600), hook);
    let agent = TestClient::new(app).await.expect("an agent");
    let submit = json!({ "do": "submit", "task": "", "test": TEST, "after": 10 });
    agent.invoke(submit).await;
    agent.restore();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2, "without a request");
    assert!(what_ran(TEST).is_empty(), "it has not waited");
    permits.add_permits(1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(what_ran(TEST), ["0 in attempt 1"]);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_at_a_restore_is_given_up_and_begins_again_with_its_next_lease() {
    const TEST: &str = "given up";
    let agent = TestClient::from_registry().await.expect("an agent");
    let submit = json!({ "do": "submit", "task": "until_cancelled", "test": TEST });
    agent.invoke(submit).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(what_ran(TEST), ["begun"]);
    agent.restore();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(what_ran(TEST), ["begun"]);
    // The lease of 30 s is over then.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(what_ran(TEST), ["begun", "begun"]);
}
