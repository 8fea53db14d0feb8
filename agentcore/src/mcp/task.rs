//! Calls that become tasks, which their client polls, by the extension `io.modelcontextprotocol/tasks`.
//!
//! A task of the protocol is a task of the library: it makes the agent busy to its end, is in the list of tasks, belongs to the
//! session that began it, and its result is kept in the table of results. The id on the wire is the task's, which is random, and
//! the second in which it began.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rmcp::ErrorData;
use rmcp::model::{
    CreateTaskResult, DetailedTask, GetTaskResult, InputRequest, InputRequests, InputResponses,
    Task, TaskPayload,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::asking::{self, DetachedCall};
use super::outcome::{result_of, tell, told};
use crate::request::{Scope, Work};
use crate::tasks::{TaskBuilder, TaskStatus, cancel_task, task_status};
use crate::tools::{
    Can, Client, Content, Question, Registered, ToClient, ToolFailure, ToolFailureKind, run,
};
use crate::tracker::TaskId;
use crate::util::sync::Mutex;

/// How long the result of a task is kept, unless newer results take its place.
const RESULTS_LAST: Duration = Duration::from_secs(3600);

/// How often a client may ask.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// A call of a tool that is to be a task.
type Call = DetachedCall<Result<Content, ToolFailure>>;

/// A call that is a task from its beginning on.
pub(super) fn call(
    tool: &Arc<Registered>,
    scope: &Arc<Scope>,
    arguments: Map<String, Value>,
    can: Can,
) -> Call {
    let (part, work) = Work::detached(scope);
    let (client, messages) = Client::of_task(can);
    let panicked = told(&part, tool);
    let (tool, runs_in) = (Arc::clone(tool), Arc::clone(&part));
    let function = async move { run(&tool, runs_in, arguments, |_, _| None, panicked).await };
    DetachedCall {
        part,
        work,
        function: Box::pin(client.scope(function)),
        messages,
        questions: Vec::new(),
        begun: None,
    }
}

/// The questions of tasks that wait for answers.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<HashMap<TaskId, Weak<Questions>>>>);

/// The questions of one task, by their keys.
#[derive(Default)]
struct Questions(Mutex<BTreeMap<String, (InputRequest, Question)>>);

impl Questions {
    fn take(&self, question: Question) {
        let mut waiting = self.0.lock();
        waiting.retain(|_, (_, question)| !question.reply.is_closed());
        let request = match waiting.contains_key(&question.key) {
            true => Err(format!("two questions have the key `{}`", question.key)),
            false => asking::request_of(&question),
        };
        match request {
            Ok(request) => {
                waiting.insert(question.key.clone(), (request, question));
            }
            Err(why) => {
                let _ = question.reply.send(Err(why));
            }
        }
    }

    fn requests(&self) -> InputRequests {
        let mut waiting = self.0.lock();
        waiting.retain(|_, (_, question)| !question.reply.is_closed());
        let request = |(key, (request, _)): (&String, &(InputRequest, Question))| {
            (key.clone(), request.clone())
        };
        waiting.iter().map(request).collect()
    }

    /// Runs `work`, and takes what it asks until `ended` is cancelled.
    async fn hear<F: Future>(
        &self,
        mut messages: mpsc::Receiver<Box<ToClient>>,
        ended: CancellationToken,
        work: F,
    ) -> F::Output {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = ended.cancelled(), if !messages.is_closed() => {
                    messages.close();
                    for (_, question) in std::mem::take(&mut *self.0.lock()).into_values() {
                        let _ = question.reply.send(stops());
                    }
                }
                Some(message) = messages.recv() => match *message {
                    ToClient::Question(question) if messages.is_closed() => {
                        let _ = question.reply.send(stops());
                    }
                    ToClient::Question(question) => self.take(question),
                    // A task has no stream to its client.
                    ToClient::Log { .. } => {}
                    ToClient::BeginTask(begun) => {
                        // The function may have stopped to wait.
                        let _ = begun.send(true);
                    }
                },
            }
        }
    }
}

impl Tasks {
    /// Begins a task that goes on with `call`. The call's permit is the task's, and the request's end is not that of the task.
    pub(super) fn begin(
        &self,
        tool: &Arc<Registered>,
        call: Call,
        ended: &CancellationToken,
    ) -> CreateTaskResult {
        let began = unix_seconds(SystemTime::now());
        let (tool, part) = (Arc::clone(tool), Arc::clone(&call.part));
        let questions = Arc::new(Questions::default());
        for question in call.questions {
            questions.take(question);
        }
        let of_task = Arc::downgrade(&questions);
        let ended = ended.clone();
        let handle = call.part.enter(|| {
            TaskBuilder::new(tool.name()).spawn(async move {
                let _work = call.work;
                let done = questions.hear(call.messages, ended, call.function).await;
                let at = unix_seconds(SystemTime::now());
                match error_of(&done) {
                    Some((error, failure)) => {
                        tell(&part, &tool, failure);
                        json!({ "at": at, "error": error })
                    }
                    None => json!({ "at": at, "result": result_of(&part, &tool, done) }),
                }
            })
        });
        let id = Id {
            task: handle.detach(),
            began,
        };
        let mut all = self.0.lock();
        all.retain(|_, questions| questions.strong_count() > 0);
        all.insert(id.task, of_task);
        drop(all);
        if let Some(begun) = call.begun {
            // The function may have stopped to wait.
            let _ = begun.send(true);
        }
        CreateTaskResult::new(id.task(TaskPayload::Working.status(), began))
    }

    fn questions(&self, task: TaskId) -> Option<Arc<Questions>> {
        self.0.lock().get(&task)?.upgrade()
    }

    /// The status of the task `id`, for the session of the caller.
    pub(super) fn get(&self, id: &str, scope: &Arc<Scope>) -> Result<GetTaskResult, ErrorData> {
        let id = Id::parse(id).ok_or_else(unknown)?;
        let failed = |text: String| {
            let error = json!({ "code": -32603, "message": text });
            TaskPayload::Failed {
                error: object(error),
            }
        };
        let now = unix_seconds(SystemTime::now());
        let (payload, at) = match scope.enter(|| task_status(id.task)) {
            TaskStatus::Running => {
                let questions = self.questions(id.task);
                let input_requests = questions.map(|asked| asked.requests()).unwrap_or_default();
                let payload = match input_requests.is_empty() {
                    true => TaskPayload::Working,
                    false => TaskPayload::InputRequired { input_requests },
                };
                (payload, id.began)
            }
            TaskStatus::Completed(mut kept) => {
                let at = kept["at"].as_u64().unwrap_or(now);
                let payload = match kept.get("error").is_some() {
                    true => TaskPayload::Failed {
                        error: object(kept["error"].take()),
                    },
                    false => TaskPayload::Completed {
                        result: object(kept["result"].take()),
                    },
                };
                (payload, at)
            }
            TaskStatus::Failed(text) => (failed(text), now),
            TaskStatus::TimedOut => (failed("the task became too old".to_owned()), now),
            TaskStatus::Cancelled => (TaskPayload::Cancelled, now),
            TaskStatus::Unknown => return Err(unknown()),
        };
        let task = id.task(payload.status(), at);
        Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
    }

    /// Answers questions of the task `id`, if it belongs to the session of the caller. Answers that nothing waits for are ignored.
    ///
    /// # Errors
    ///
    /// There is no such task, or an answer does not fit. The others are taken nevertheless.
    pub(super) fn answer(
        &self,
        id: &str,
        answers: InputResponses,
        scope: &Arc<Scope>,
    ) -> Result<(), ErrorData> {
        self.get(id, scope)?;
        let id = Id::parse(id).ok_or_else(unknown)?;
        let Some(questions) = self.questions(id.task) else {
            return Ok(());
        };
        let mut misfits = Vec::new();
        for (key, answer) in answers {
            let Some((request, question)) = questions.0.lock().remove(&key) else {
                continue;
            };
            match asking::misfit(question.check, &answer) {
                None => {
                    // The function may have stopped to wait.
                    let _ = question.reply.send(Ok(answer));
                }
                Some(why) => {
                    misfits.push(format!("the answer to `{key}` does not fit: {why}"));
                    questions.0.lock().entry(key).or_insert((request, question));
                }
            }
        }
        match misfits.is_empty() {
            true => Ok(()),
            false => Err(ErrorData::invalid_params(misfits.join("; "), None)),
        }
    }
}

/// The answer to a question when the agent has been told to stop.
fn stops() -> Result<Value, String> {
    Err("the agent stops".to_owned())
}

/// Cancels the task `id`, if it runs and belongs to the session of the caller.
pub(super) fn cancel(id: &str, scope: &Arc<Scope>) -> Result<(), ErrorData> {
    let id = Id::parse(id).ok_or_else(unknown)?;
    if !scope.enter(|| cancel_task(id.task))
        && scope.enter(|| task_status(id.task)) == TaskStatus::Unknown
    {
        return Err(unknown());
    }
    Ok(())
}

/// The error of the protocol that a task ends with: no result that a model may learn from.
fn error_of(done: &Result<Content, ToolFailure>) -> Option<(ErrorData, &ToolFailure)> {
    let failure = done.as_ref().err()?;
    let error = match failure.kind {
        ToolFailureKind::Panicked => ErrorData::internal_error(failure.text.clone(), None),
        ToolFailureKind::Unsupported(kind) => asking::lacks(kind),
        ToolFailureKind::Arguments | ToolFailureKind::Failed | ToolFailureKind::TimedOut => {
            return None;
        }
    };
    Some((error, failure))
}

fn unknown() -> ErrorData {
    ErrorData::invalid_params("there is no such task", None)
}

/// A task's id on the wire.
#[derive(Clone, Copy)]
struct Id {
    task: TaskId,
    /// In seconds since 1970.
    began: u64,
}

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let (task, began) = text.split_once('-')?;
        Some(Self {
            task: task.parse().ok()?,
            began: u64::from_str_radix(began, 16)
                .ok()
                .filter(|began| *began < 1 << 36)?,
        })
    }

    fn task(self, status: rmcp::model::TaskStatus, at: u64) -> Task {
        let id = format!("{}-{:x}", self.task, self.began);
        Task::new(id, status, date(self.began), date(at))
            .with_ttl_ms(RESULTS_LAST.as_millis() as u64)
            .with_poll_interval_ms(POLL_INTERVAL.as_millis() as u64)
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// As ISO 8601 writes it.
fn date(unix_seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(unix_seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = Id {
            task: TaskId::draw(),
            began: 1_764_000_000,
        };
        let task = id.task(TaskPayload::Working.status(), id.began + 1);
        assert_eq!(
            (&*task.created_at, &*task.last_updated_at),
            ("2025-11-24T16:00:00Z", "2025-11-24T16:00:01Z")
        );
        let read = Id::parse(&task.task_id).expect("an id");
        assert_eq!((read.task, read.began), (id.task, id.began));
        for wrong in [
            "",
            "-",
            "x-1",
            &id.task.to_string(),
            &format!("{}-ffffffffffffffff", id.task),
        ] {
            assert!(Id::parse(wrong).is_none(), "{wrong}");
        }
    }
}
