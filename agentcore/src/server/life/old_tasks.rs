//! Ending tasks that have become too old.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::server::http::front::Front;
use crate::server::threads::helper::offload;

/// How often the ages of tasks are looked at.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// Looks for ever. One task on the front runs this. A task that is polled ends by itself, and in time; this is for tasks that
/// are not polled.
pub(crate) async fn end(front: Arc<Front>, limit: Duration) -> Infallible {
    let mut looks = interval((limit / 8).clamp(SHORTEST_LOOK, LONGEST_LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A little late, so that those come first.
    let age = limit + looks.period();
    loop {
        looks.tick().await;
        let old = front.instance.tracker.older_than(age).await;
        if old.is_empty() {
            continue;
        }
        let instance = Arc::clone(&front.instance);
        // What belongs to a task is dropped with it.
        let ended = offload(front.workers.runtime(), move || {
            instance.tracker.end_old(&old, limit);
        });
        // A log that blocks must not keep later tasks from being ended.
        let _ = timeout(LONGEST_LOOK, ended).await;
    }
}
