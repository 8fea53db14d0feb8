//! Hooks: the user's code at both ends of the server's life, run on the workers.

use std::sync::Arc;

use tokio::time::{Instant, timeout, timeout_at};

use super::front::{AbortOnDrop, Front};
use crate::agent::Callback;
use crate::boxed;
use crate::context::{Kind as ScopeKind, Scope};
use crate::drops::DropOnWorkers;
use crate::error::{Error, Kind, with_causes};
use crate::layer::Endpoint;
use crate::panics;
use crate::state::States;

impl Front {
    /// Builds the layers on the workers: a layer is the user's code, and some start tasks.
    pub(super) async fn build_layers(&self) -> Result<(), Error> {
        let Some(layers) = self.take_layers().filter(|layers| !layers.is_empty()) else {
            return Ok(());
        };
        let (entrypoint, settings) = (self.agent.entrypoint.clone(), self.settings.clone());
        let build = async move {
            let built = Endpoint::build(layers, entrypoint, settings);
            built.map(|endpoint| DropOnWorkers::new(endpoint, "the layers"))
        };
        let build = AbortOnDrop(boxed::spawn_on(&self.workers, build));
        let mut built = match self.wakes.batch(build).await {
            Ok(built) => built.map_err(|problem| Error::new(Kind::Start, problem))?,
            Err(_) => return Err(Error::new(Kind::Start, "building the layers was cancelled")),
        };
        if let Some(endpoint) = built.take() {
            self.endpoint.get_or_init(|| endpoint);
        }
        Ok(())
    }

    /// Runs the start hooks, one after the other, on the workers.
    pub(super) async fn run_start_hooks(&self, states: &mut States) -> Result<(), Error> {
        for hook in &self.agent.start_hooks {
            let failed = |why: String| {
                Error::new(
                    Kind::Start,
                    format!("start hook {} {why}", hook.callback.meta),
                )
            };
            let run = self.on_workers(&hook.callback);
            let made = match hook.timeout {
                None => run.await,
                Some(limit) => timeout(limit, run).await.unwrap_or_else(|_| {
                    Err(format!(
                        "took longer than {}",
                        humantime::format_duration(limit)
                    ))
                }),
            };
            states.insert(made.map_err(failed)?);
        }
        Ok(())
    }

    /// Runs the shutdown hooks, one after the other, until the time is over.
    pub(super) async fn run_shutdown_hooks(&self, until: Instant) {
        for hook in &self.agent.shutdown_hooks {
            match timeout_at(until, self.on_workers(hook)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::error!("shutdown hook {} {why}", hook.meta),
                Err(_) => tracing::error!("shutdown hook {} was cut off", hook.meta),
            }
        }
    }

    /// Runs a hook on the workers; the error says how it ended.
    async fn on_workers<T: Send + 'static>(&self, hook: &Callback<T>) -> Result<T, String> {
        let (call, place) = (Arc::clone(&hook.call), hook.meta);
        let scope =
            Scope::outside_requests(Arc::clone(&self.instance), ScopeKind::Hook, place.name());
        // Its text is read, and it is dropped, where it was made.
        let run = panics::catch(async move {
            let done = call().await;
            done.map_err(|error| format!("failed: {}", with_causes(&*error)))
        });
        let run = boxed::spawn_within(&self.workers, scope, run);
        match self.wakes.batch(AbortOnDrop(run)).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => {
                panic.log(&format!("hook {place}"));
                Err("panicked".to_owned())
            }
            Err(_) => Err("was cancelled".to_owned()),
        }
    }
}
