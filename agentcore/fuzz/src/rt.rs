//! One runtime for all iterations, on one thread and with paused time: waiting costs nothing.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Longer than anything that is waited for, in the runtime's own time.
pub const DEADLINE: Duration = Duration::from_secs(3600);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
}

/// Runs one iteration.
///
/// # Panics
///
/// When it leaves a task behind: the next iteration would not begin from nothing.
pub fn run(iteration: impl Future<Output = ()>) {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            iteration.await;
            // What has been aborted or woken has its last turn. Bodies that nobody wants are listened to for 30 s.
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
        let alive = runtime.metrics().num_alive_tasks();
        assert_eq!(alive, 0, "{alive} tasks outlive their server");
    });
}

/// `future`, which has to be ready in good time.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: still waiting after {DEADLINE:?}"),
    }
}
