//! Hooks: user code before and after serving, run on the workers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::control::next_signal;
use super::shutdown::{CutOff, said_again};
use super::stalls::whole_milliseconds;
use super::thread::Life;
use crate::app::descriptors::Meta;
use crate::error::{BoxError, Error, Kind, with_causes};
use crate::handler::hook::HookCall;
use crate::handler::layer::Endpoint;
use crate::platform::Signals;
use crate::report;
use crate::report::Kind as ScopeKind;
use crate::report::panics;
use crate::report::stall::At;
use crate::request::drops::DropOnWorkers;
use crate::request::{self, Scope};
use crate::server::http::layered;
use crate::server::threads::AbortOnDrop;
use crate::util::spawn;

impl Life {
    /// Builds the layers on the workers: a layer is user code, and some layers spawn tasks.
    pub(crate) async fn build_layers(&mut self) -> Result<(), Error> {
        let Some(layers) = self.layers.take().and_then(|mut layers| layers.take()) else {
            return Ok(());
        };
        let agent = layered::agent(&self.front);
        let build = async move {
            let built = Endpoint::build(layers, agent);
            built.map(|endpoint| DropOnWorkers::new(endpoint, "the layers"))
        };
        let build = AbortOnDrop(spawn::boxed_on(self.front.workers.runtime(), build));
        let mut built = match self.front.workers.batch(build).await {
            Ok(built) => built.map_err(|problem| Error::new(Kind::Start, problem))?,
            Err(_) => return Err(Error::new(Kind::Start, "building the layers was cancelled")),
        };
        if let Some(endpoint) = built.take() {
            self.front.endpoint.get_or_init(|| endpoint);
        }
        Ok(())
    }

    /// Runs the start hooks on the workers, one after the other. The states that they make are stored there. They never come to
    /// the front, which might have to drop them.
    pub(crate) async fn run_start_hooks(&self) -> Result<(), Error> {
        for hook in &self.front.agent.start_hooks {
            let failed = |why: String| {
                Error::new(
                    Kind::Start,
                    format!("start hook {} {why}", hook.callback.meta),
                )
            };
            let call = Arc::clone(&hook.callback.call);
            let instance = Arc::clone(&self.front.instance);
            let run = self.on_workers(hook.callback.meta, async move {
                let arguments = HookCall::of_hook(Arc::clone(&instance));
                instance.states.insert(call(arguments).await?);
                Ok(())
            });
            let ended = match hook.timeout {
                None => run.await,
                Some(limit) => timeout(limit, run).await.unwrap_or_else(|_| {
                    Err(format!(
                        "took longer than {}",
                        humantime::format_duration(limit)
                    ))
                }),
            };
            ended.map_err(failed)?;
        }
        Ok(())
    }

    /// Builds the routers on the workers, where they stay.
    pub(crate) async fn build_routes(&self) -> Result<(), Error> {
        for (place, router) in self.front.agent.routers.iter().enumerate() {
            let build = Arc::clone(&router.build);
            let instance = Arc::clone(&self.front.instance);
            let mounts = Arc::clone(&self.front.mounts);
            let built = self.on_workers(router.meta, async move {
                let service = build(HookCall::of_hook(instance)).await?;
                if let Some(mount) = mounts.0.get(place) {
                    mount.set(service);
                }
                Ok(())
            });
            built
                .await
                .map_err(|why| Error::new(Kind::Start, format!("routes {} {why}", router.meta)))?;
        }
        Ok(())
    }

    /// Runs the shutdown hooks, one after the other, until the time is up or a signal comes; none if the stop `is_over` already.
    /// Names the hooks that have not ended by then. Returns whether the stop is over.
    pub(crate) async fn run_shutdown_hooks(
        &self,
        until: Instant,
        mut is_over: bool,
        signals: &mut Option<Signals>,
        cut_off: &mut CutOff,
    ) -> bool {
        for hook in &self.front.agent.shutdown_hooks {
            let began = Instant::now();
            if is_over || began >= until {
                cut_off.name(format!("shutdown hook {}, not called", hook.meta));
                continue;
            }
            let call = Arc::clone(&hook.call);
            let arguments = HookCall::of_hook(Arc::clone(&self.front.instance));
            let ended = tokio::select! {
                ended = self.on_workers(hook.meta, async move { call(arguments).await }) => Some(ended),
                () = sleep_until(until) => None,
                name = next_signal(signals) => {
                    is_over = said_again(name);
                    None
                }
            };
            match ended {
                Some(Ok(())) => {}
                Some(Err(why)) => {
                    let hook = hook.meta;
                    report::emit(move || tracing::error!("shutdown hook {hook} {why}"));
                }
                None => {
                    let age: Duration = whole_milliseconds(began.elapsed());
                    let age = humantime::format_duration(age);
                    cut_off.name(format!("shutdown hook {} after {age}", hook.meta));
                }
            }
        }
        is_over
    }

    /// Runs a hook on the workers. The error says how the hook failed.
    async fn on_workers(
        &self,
        place: Meta,
        hook: impl Future<Output = Result<(), BoxError>> + Send + 'static,
    ) -> Result<(), String> {
        let at = At::hook(&format!("hook `{}`", place.name()));
        let instance = Arc::clone(&self.front.instance);
        let scope = Scope::outside_requests(instance, ScopeKind::Hook, place.name(), at);
        // The hook's error is user code too: its text is read, and the error dropped, on the worker.
        let run = panics::catch(async move {
            hook.await
                .map_err(|error| format!("failed: {}", with_causes(&*error)))
        });
        let run = request::spawn_boxed(self.front.workers.runtime(), scope, run);
        match self.front.workers.batch(AbortOnDrop(run)).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => {
                panic.log(&format!("hook {place}"));
                Err("panicked".to_owned())
            }
            Err(_) => Err("was cancelled".to_owned()),
        }
    }
}
