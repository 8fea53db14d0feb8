//! Durable tasks under test: ends of processes on request.

use std::fmt;
use std::sync::Arc;

use super::TestClient;
use crate::StepName;
use crate::durable::CrashPoints;
use crate::server::InProcess;
use crate::util::sync::Mutex;

impl TestClient {
    /// Lets the next attempt that comes to this step end before the step runs, as if its process had died. Each call is for one attempt.
    ///
    /// Jobs are kept in memory here, and run on the test's runtime. What the attempt holds is dropped, nothing is stored, and its lease
    /// goes on. When the lease is over the next attempt begins, with the steps that are recorded. Where time is paused, that takes no
    /// time.
    ///
    /// ```rust,standalone_crate
    /// use agentcore::testing::TestClient;
    /// use agentcore::{BoxError, async_task, entrypoint, step};
    ///
    /// #[async_task(durable)]
    /// async fn order(item: String) -> Result<String, BoxError> {
    ///     let paid: String = step("pay", async || Ok::<_, BoxError>(format!("{item} is paid"))).await?;
    ///     step("ship", async || Ok(format!("{paid} and shipped"))).await
    /// }
    ///
    /// #[entrypoint(main = false)]
    /// async fn handler(item: String) -> Result<String, BoxError> {
    ///     Ok(order(item).await?)
    /// }
    ///
    /// // In a test: #[tokio::test(start_paused = true)]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), agentcore::Error> {
    /// # tokio::time::pause();
    /// let agent = TestClient::from_registry().await?;
    /// agent.crash_before_step("ship");
    /// let reply = agent.invoke("a book").await;
    /// assert_eq!(reply.json::<String>(), "a book is paid and shipped");
    /// # Ok(())
    /// # }
    /// ```
    pub fn crash_before_step(&self, step: impl Into<StepName>) {
        self.crashes.add(&step.into(), false);
    }

    /// As [`crash_before_step`](Self::crash_before_step), with the end behind the step: its value is recorded, and not run again.
    pub fn crash_after_step(&self, step: impl Into<StepName>) {
        self.crashes.add(&step.into(), true);
    }
}

/// The places at which attempts die: a step, and whether it has been recorded.
#[derive(Default)]
pub(super) struct Crashes(Mutex<Vec<(String, bool)>>);

impl Crashes {
    /// Those of an app.
    pub(super) fn of(server: &InProcess) -> Arc<Self> {
        let crashes = Arc::new(Self::default());
        if let Some(client) = server.durable() {
            let crashes: Arc<dyn CrashPoints> = Arc::clone(&crashes) as _;
            client.set_crash_points(crashes);
        }
        crashes
    }

    fn add(&self, step: &StepName, is_recorded: bool) {
        self.0.lock().push((step.to_string(), is_recorded));
    }
}

impl CrashPoints for Crashes {
    fn is_here(&self, step: &str, is_recorded: bool) -> bool {
        let mut places = self.0.lock();
        let here = places
            .iter()
            .position(|(name, recorded)| name == step && *recorded == is_recorded);
        here.map(|here| places.swap_remove(here)).is_some()
    }
}

impl fmt::Debug for Crashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Crashes").field(&*self.0.lock()).finish()
    }
}
