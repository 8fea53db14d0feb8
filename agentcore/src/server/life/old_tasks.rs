//! The end of tasks that have exceeded `task_max_age` and are not polled.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::server::http::front::Front;
use crate::server::threads::helper::offload;

/// The bounds of the time between two checks of the tasks' ages.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// Checks the ages for ever and ends old tasks. One task on the front runs this. A task that is polled ends by itself in
/// time; this is for tasks that are not polled.
pub(crate) async fn end(front: Arc<Front>, limit: Duration) -> Infallible {
    let mut looks = interval((limit / 8).clamp(SHORTEST_LOOK, LONGEST_LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A little later than the limit, so that tasks that are polled end by themselves.
    let age = limit + looks.period();
    loop {
        looks.tick().await;
        let old = front.instance.tracker.older_than(age).await;
        if old.is_empty() {
            continue;
        }
        let instance = Arc::clone(&front.instance);
        // The end of a task drops its values, which are the user's.
        let ended = offload(front.workers.runtime(), move || {
            instance.tracker.end_old(&old, limit);
        });
        // A log that blocks must not keep later tasks from being ended.
        let _ = timeout(LONGEST_LOOK, ended).await;
    }
}
