//! The engine that keeps jobs in PostgreSQL, for the processes of many hosts.
//!
//! The state machine is that of [Absurd]: its published functions hold leases, attempts, steps and results. This is a client of
//! them. Workers in other languages, `absurdctl` and Absurd's web page work on these queues too. A queue has the name of its
//! task. `absurdctl` installs the schema; its version is checked.
//!
//! Three things are added. Notifications go out beside submissions, cancellations and releases. A job that is submitted with a
//! delay is stored as due later. And each write compares the holder of the run, which `writes` explains.
//!
//! [Absurd]: https://github.com/earendil-works/absurd

mod claims;
mod clean;
mod fault;
mod link;
mod queues;
mod reads;
mod tls;
mod types;
mod url;
mod wake_up;
mod writes;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_postgres::Client;

use super::error::EngineError;
use super::holder::Holders;
use super::limits;
use super::{
    About, Cancel, Claimed, Counts, Engine, Hold, JobId, JobState, Json, Keep, NOTICES, NewJob,
    Notice, Outcome, Reply, Run, Step, Submitted, Wanted,
};
use claims::Unanswered;
use fault::Fault;
use link::{Again, Lane, Line, Link};
use queues::Queues;
use url::Url;

/// The jobs of one database.
#[derive(Debug)]
pub(crate) struct Postgres {
    link: Link,
    shown: String,
    queues: Arc<Queues>,
    holders: Arc<Holders>,
    unanswered: Arc<Unanswered>,
    notices: broadcast::Sender<Notice>,
}

impl Postgres {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// A text without a password, if the URL is wrong or the thread cannot be started.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let url = Url::parse(url)?;
        let notices = broadcast::Sender::new(NOTICES);
        let shown = url.to_string();
        let link = Link::start(&url, &notices);
        Ok(Self {
            link: link.map_err(|error| format!("the thread of the database: {error}"))?,
            shown,
            queues: Arc::default(),
            holders: Arc::new(Holders::new()),
            unanswered: Arc::default(),
            notices,
        })
    }

    /// Acts as if the answer to the claim of this run had been lost.
    #[cfg(test)]
    pub(super) fn lose(&self, run: &Run) {
        self.unanswered.note(run.holder.clone());
    }

    /// Sets the time of both sessions, until they are lost.
    #[cfg(test)]
    pub(super) async fn set_time(&self, micros: i64) {
        for lane in [Lane::Work, Lane::Other] {
            let set = self.link.call(lane, Again::No, move |client, _| async move {
                let statement = "SELECT set_config('absurd.fake_now', (to_timestamp(0) + $1 * interval '1 microsecond')::text, false)";
                let parameter: writes::Parameters<'_> =
                    &[(&micros, tokio_postgres::types::Type::INT8)];
                client.query_typed(statement, parameter).await?;
                Ok(())
            });
            set.await.expect("the database");
        }
    }
}

/// An answer that needs no database.
fn refused<'a, T: Send + 'a>(error: EngineError) -> Reply<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

/// The answer of a call about a queue that may not exist: then there is nothing.
fn or_nothing<T: Default>(answer: Result<T, Fault>) -> Result<T, Fault> {
    match answer {
        Err(Fault::NoQueue) => Ok(T::default()),
        answer => answer,
    }
}

/// The places of runs among all, by task.
fn by_task(runs: &[Run]) -> BTreeMap<Arc<str>, Vec<usize>> {
    let mut tasks = BTreeMap::<_, Vec<_>>::new();
    for (place, run) in runs.iter().enumerate() {
        let places = tasks.entry(run.id.task_name().clone());
        places.or_default().push(place);
    }
    tasks
}

impl Engine for Postgres {
    fn check<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, About> {
        if let Err(error) = limits::check_tasks(tasks) {
            return refused(error);
        }
        let all = Arc::new((tasks.to_vec(), self.shown.clone(), self.queues.clone()));
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let all = all.clone();
            async move {
                let (tasks, shown, queues) = &*all;
                let schema = queues::check(&client, shown).await?;
                queues.make(&client, tasks).await?;
                queues::may_write(&client, tasks).await?;
                Ok(About {
                    engine: "postgres",
                    schema,
                    location: shown.clone(),
                })
            }
        })
    }

    fn look(&self) -> Reply<'_, About> {
        let shown: Arc<str> = self.shown.as_str().into();
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let shown = shown.clone();
            async move {
                Ok(About {
                    engine: "postgres",
                    schema: queues::check(&client, &shown).await?,
                    location: shown.to_string(),
                })
            }
        })
    }

    fn submit(&self, job: NewJob) -> Reply<'_, Submitted> {
        if let Err(error) = limits::check_job(&job) {
            return refused(error);
        }
        let again = match job.key {
            Some(_) => Again::Yes,
            None => Again::No,
        };
        let all = Arc::new((job, self.queues.clone()));
        self.link.call(Lane::Other, again, move |client, line| {
            let all = all.clone();
            async move {
                let (job, queues) = &*all;
                let tasks = std::slice::from_ref(&job.task);
                let submit = || writes::submit(&client, job);
                let submitted = queues.with(&client, tasks, submit).await?;
                if submitted.created && job.after.is_zero() {
                    line.notice(Notice::Due(job.task.clone()));
                }
                Ok(submitted)
            }
        })
    }

    fn state<'a>(&'a self, id: &'a JobId) -> Reply<'a, Option<JobState>> {
        let id = id.clone();
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let id = id.clone();
            async move { or_nothing(reads::state(&client, &id).await) }
        })
    }

    fn list<'a>(&'a self, tasks: &'a [Arc<str>], most: usize) -> Reply<'a, Vec<JobState>> {
        let tasks = Arc::new(tasks.to_vec());
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let tasks = tasks.clone();
            async move {
                let mut found = Vec::new();
                for task in &*tasks {
                    let limit = i64::try_from(most).unwrap_or(i64::MAX);
                    found.extend(or_nothing(reads::list(&client, task, limit).await)?);
                }
                found.sort_by_key(|job| Reverse(job.id.number()));
                found.truncate(most);
                Ok(found)
            }
        })
    }

    fn cancel<'a>(&'a self, id: &'a JobId) -> Reply<'a, Cancel> {
        let id = id.clone();
        self.link
            .call(Lane::Other, Again::Yes, move |client, line| {
                let id = id.clone();
                async move {
                    let cancel = match writes::cancel(&client, &id).await {
                        Err(Fault::NoQueue) => Cancel::Unknown,
                        answer => answer?,
                    };
                    if cancel == Cancel::Cancelled {
                        line.notice(Notice::Cancelled(id));
                    }
                    Ok(cancel)
                }
            })
    }

    fn claim<'a>(&'a self, wanted: &'a Wanted) -> Reply<'a, Claimed> {
        let all = Arc::new((
            wanted.clone(),
            self.queues.clone(),
            self.holders.clone(),
            self.unanswered.clone(),
        ));
        self.link.call(Lane::Work, Again::No, move |client, line| {
            let all = all.clone();
            async move {
                let (wanted, queues, holders, unanswered) = &*all;
                let tasks: Vec<_> = wanted.tasks.iter().map(|(task, _)| task.clone()).collect();
                let claim = || async {
                    listen(&client, &line, &tasks).await?;
                    claims::claim(&client, wanted, holders, unanswered).await
                };
                queues.with(&client, &tasks, claim).await
            }
        })
    }

    fn renew<'a>(&'a self, runs: &'a [Run], lease: Duration) -> Reply<'a, Vec<Hold>> {
        let runs = Arc::new(runs.to_vec());
        self.link.call(Lane::Work, Again::Yes, move |client, _| {
            let runs = runs.clone();
            async move {
                let mut holds = vec![Hold::Lost; runs.len()];
                for (task, places) in by_task(&runs) {
                    let of_task: Vec<_> = places.iter().map(|place| &runs[*place]).collect();
                    let answers = writes::renew(&client, &task, &of_task, lease).await;
                    for (place, hold) in places.iter().zip(or_nothing(answers)?) {
                        holds[*place] = hold;
                    }
                }
                Ok(holds)
            }
        })
    }

    fn record<'a>(&'a self, run: &'a Run, name: &'a str, value: Json) -> Reply<'a, Hold> {
        if let Err(error) = limits::check_step(name, &value) {
            return refused(error);
        }
        let all = Arc::new((run.clone(), name.to_owned(), value));
        self.link.call(Lane::Work, Again::Yes, move |client, _| {
            let all = all.clone();
            async move {
                let (run, name, value) = &*all;
                or_lost(writes::record(&client, run, name, value).await)
            }
        })
    }

    fn step<'a>(&'a self, id: &'a JobId, name: &'a str) -> Reply<'a, Option<Json>> {
        let all = Arc::new((id.clone(), vec![name.to_owned()]));
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let all = all.clone();
            async move {
                let mut steps = or_nothing(reads::steps::read(&client, &all.0, &all.1).await)?;
                Ok(steps.pop().map(|step| step.value))
            }
        })
    }

    fn step_names<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<String>> {
        let id = id.clone();
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let id = id.clone();
            async move {
                let listed = or_nothing(reads::steps::list(&client, &id).await)?;
                Ok(listed.into_iter().map(|(name, _)| name).collect())
            }
        })
    }

    fn steps<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<Step>> {
        reads::steps::all(&self.link, id)
    }

    fn finish<'a>(&'a self, run: &'a Run, outcome: Outcome) -> Reply<'a, Hold> {
        let outcome = match limits::check_outcome(outcome) {
            Ok(outcome) => outcome,
            Err(error) => return refused(error),
        };
        let all = Arc::new((run.clone(), outcome));
        self.link.call(Lane::Work, Again::Yes, move |client, _| {
            let all = all.clone();
            async move { or_lost(writes::finish(&client, &all.0, &all.1).await) }
        })
    }

    fn release<'a>(&'a self, runs: &'a [Run], after: Duration) -> Reply<'a, Vec<Hold>> {
        let runs = Arc::new(runs.to_vec());
        self.link.call(Lane::Work, Again::Yes, move |client, line| {
            let runs = runs.clone();
            async move {
                let mut holds = vec![Hold::Lost; runs.len()];
                for (task, places) in by_task(&runs) {
                    let of_task: Vec<_> = places.iter().map(|place| &runs[*place]).collect();
                    let answers = writes::release(&client, &task, &of_task, after).await;
                    for (place, hold) in places.iter().zip(or_nothing(answers)?) {
                        holds[*place] = hold;
                    }
                    // This process need not wait for the database's notification.
                    if after.is_zero() {
                        line.notice(Notice::Due(task));
                    }
                }
                Ok(holds)
            }
        })
    }

    fn counts<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, Vec<Counts>> {
        let tasks = Arc::new(tasks.to_vec());
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let tasks = tasks.clone();
            async move {
                let mut all = Vec::with_capacity(tasks.len());
                for task in &*tasks {
                    all.push(or_nothing(reads::counts(&client, task).await)?);
                }
                Ok(all)
            }
        })
    }

    fn clean<'a>(&'a self, tasks: &'a [Arc<str>], keep: Keep) -> Reply<'a, usize> {
        let tasks = Arc::new(tasks.to_vec());
        self.link.call(Lane::Other, Again::Yes, move |client, _| {
            let tasks = tasks.clone();
            async move {
                let mut removed = 0;
                for task in &*tasks {
                    removed += or_nothing(clean::clean(&client, task, keep).await)?;
                }
                Ok(removed)
            }
        })
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_reachable(&self) -> bool {
        self.link.is_reachable()
    }

    fn disconnect(&self) {
        self.holders.renew();
        self.link.close();
    }
}

async fn listen(client: &Client, line: &Line, tasks: &[Arc<str>]) -> Result<(), Fault> {
    for task in tasks {
        line.listen(client, task).await?;
    }
    Ok(())
}

fn or_lost(answer: Result<Hold, Fault>) -> Result<Hold, Fault> {
    match answer {
        Err(Fault::NoQueue) => Ok(Hold::Lost),
        answer => answer,
    }
}
