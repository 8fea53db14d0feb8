//! Durable tasks in memory, with time that is paused: what their code sees.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agentcore::testing::TestClient;
use agentcore::{
    BoxError, CancellationToken, JobId, JobStatus, Permanent, State, TaskContext, async_task,
    cancel_job, entrypoint, job_status, on_start, step,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What ran, by the name that a test has chosen, so that tests can run at once.
static RAN: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

pub(crate) fn ran(test: &str, what: impl Into<String>) {
    let mut ran = RAN.lock().unwrap();
    let tests = ran.get_or_insert_default();
    tests.entry(test.to_owned()).or_default().push(what.into());
}

pub(crate) fn what_ran(test: &str) -> Vec<String> {
    let ran = RAN.lock().unwrap();
    let tests = ran.as_ref();
    tests
        .and_then(|tests| tests.get(test).cloned())
        .unwrap_or_default()
}

struct Greeting(&'static str);

#[on_start]
fn greet() -> Greeting {
    Greeting("hello")
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    greeting: String,
    pages: Vec<String>,
}

#[async_task(durable, attempts = 4)]
async fn transcribe(
    test: String,
    pages: u32,
    greeting: State<Greeting>,
    task: TaskContext,
) -> Result<Report, BoxError> {
    let attempt = task.attempt();
    assert_eq!(task.is_recovery(), attempt > 1);
    let mut texts = Vec::new();
    for page in 0..pages {
        let text = step(("page", page), || async {
            ran(&test, format!("{page} in attempt {attempt}"));
            Ok::<_, BoxError>(format!("page {page}"))
        });
        texts.push(text.await?);
    }
    Ok(Report {
        greeting: greeting.0.0.to_owned(),
        pages: texts,
    })
}

/// Fails as often as it is told.
#[async_task(durable, attempts = 3)]
async fn fail(test: String, times: usize, permanent: bool) -> Result<usize, BoxError> {
    ran(&test, "attempt");
    let attempts = what_ran(&test).len();
    if attempts > times {
        return Ok(attempts);
    }
    if permanent {
        return Err(Permanent::new(format!("failure {attempts}")).into());
    }
    Err(format!("failure {attempts}").into())
}

#[async_task(durable, attempts = 2)]
async fn explode(test: String) -> Result<(), BoxError> {
    ran(&test, "attempt");
    panic!("no luck");
}

#[async_task(durable, attempts = 2, timeout = "10s", deadline = "1h")]
async fn hang(test: String) -> Result<(), BoxError> {
    ran(&test, "attempt");
    std::future::pending().await
}

#[async_task(durable, attempts = 100, deadline = "20s")]
async fn never_in_time(test: String) -> Result<(), BoxError> {
    ran(&test, "attempt");
    tokio::time::sleep(Duration::from_secs(15)).await;
    Err("too early".into())
}

#[async_task(durable)]
async fn until_cancelled(test: String, token: CancellationToken) -> Result<(), BoxError> {
    ran(&test, "begun");
    token.cancelled().await;
    ran(&test, "told");
    std::future::pending().await
}

static AT_ONCE: AtomicU32 = AtomicU32::new(0);

#[async_task(durable, concurrency = 2)]
async fn two_at_once(number: u32) -> Result<u32, BoxError> {
    let before = AT_ONCE.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    AT_ONCE.fetch_sub(1, Ordering::SeqCst);
    assert!(before < 2, "{before} ran beside job {number}");
    Ok(number)
}

#[async_task(durable)]
async fn named_twice(test: String) -> Result<Vec<u32>, BoxError> {
    let one = |number: u32| {
        let test = &test;
        move || async move {
            ran(test, number.to_string());
            Ok::<_, BoxError>(number)
        }
    };
    let mut values = vec![step("number", one(1)).await?, step("number", one(2)).await?];
    // A step that fails gives its name back, so a loop that tries again is one step.
    for number in 0..4 {
        let tried: Result<u32, BoxError> = step("try", || async {
            ran(&test, format!("try {number}"));
            if number < 3 {
                Err("no luck".into())
            } else {
                Ok(number)
            }
        })
        .await;
        if let Ok(number) = tried {
            values.push(number);
            break;
        }
    }
    step("end", async || Ok::<_, BoxError>(())).await?;
    Ok(values)
}

#[agentcore::step]
async fn doubled(number: u32, test: &str) -> Result<u32, BoxError> {
    ran(test, format!("doubled {number}"));
    Ok(2 * number)
}

#[async_task(durable)]
async fn with_step_functions(test: String) -> Result<u32, BoxError> {
    let sum = doubled(1, &test).await? + doubled(2, &test).await?;
    step("end", async || Ok::<_, BoxError>(())).await?;
    Ok(sum)
}

#[async_task(durable)]
async fn with_progress(task: TaskContext) -> Result<(), BoxError> {
    task.progress(&json!({ "rows": 7 })).await;
    task.cancelled().await;
    Ok(())
}

/// Returns before the work that it leaves behind comes to its steps.
#[async_task(durable)]
async fn leaves_work_behind(test: String, task: TaskContext) -> Result<(), BoxError> {
    agentcore::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = step("notify", async || {
            ran(&test, "notify");
            Ok::<_, BoxError>(())
        });
        told.await?;
        task.progress("told").await;
        ran(&test, "end");
        Ok::<_, BoxError>(())
    })
    .detach();
    Ok(())
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Event {
    Await {
        task: String,
        test: String,
        #[serde(default)]
        number: usize,
    },
    Submit {
        task: String,
        test: String,
        key: Option<String>,
        #[serde(default)]
        after: u64,
        #[serde(default)]
        any_session: bool,
    },
    Status {
        job: JobId,
    },
    Cancel {
        job: JobId,
    },
}

#[entrypoint(main = false)]
async fn handler(event: Event) -> Result<Value, BoxError> {
    Ok(match event {
        Event::Await { task, test, number } => match task.as_str() {
            "transcribe" => json!(transcribe(test, number as u32).await?),
            "fail" => json!(fail(test, number, false).await?),
            "fail_for_good" => json!(fail(test, number, true).await?),
            "explode" => json!(explode(test).await?),
            "hang" => json!(hang(test).await?),
            "never_in_time" => json!(never_in_time(test).await?),
            "named_twice" => json!(named_twice(test).await?),
            "leaves_work_behind" => json!(leaves_work_behind(test).await?),
            "with_step_functions" => json!(with_step_functions(test).await?),
            "too_large" => json!(transcribe("x".repeat(2 << 20), 1).await?),
            _ => json!(two_at_once(number as u32).await?),
        },
        Event::Submit {
            task,
            test,
            key,
            after,
            any_session,
        } => match task.as_str() {
            "progress" => json!(with_progress().submit().await?.id()),
            "until_cancelled" => json!(until_cancelled(test).submit().await?.id()),
            _ => {
                let mut call = transcribe(test, 1).after(Duration::from_secs(after));
                if let Some(key) = key {
                    call = call.key(key);
                }
                if any_session {
                    call = call.any_session();
                }
                let job = call.submit().await?;
                json!({ "job": job.id(), "new": job.is_new() })
            }
        },
        Event::Status { job } => json!(job_status(&job).await?),
        Event::Cancel { job } => json!(cancel_job(&job).await?),
    })
}

async fn agent() -> TestClient {
    TestClient::from_registry().await.expect("an agent")
}

async fn awaited(agent: &TestClient, task: &str, test: &str, number: usize) -> Value {
    let event = json!({ "do": "await", "task": task, "test": test, "number": number });
    agent.invoke(event).await.json()
}

async fn submitted(agent: &TestClient, event: Value) -> Value {
    agent.invoke(event).await.json()
}

async fn status(agent: &TestClient, job: &Value) -> Value {
    agent
        .invoke(json!({ "do": "status", "job": job }))
        .await
        .json()
}

#[tokio::test(start_paused = true)]
async fn an_awaited_task_runs_with_its_arguments_and_its_state() {
    let agent = agent().await;
    let report: Report =
        serde_json::from_value(awaited(&agent, "transcribe", "plain", 2).await).unwrap();
    assert_eq!(report.greeting, "hello");
    assert_eq!(report.pages, ["page 0", "page 1"]);
    assert_eq!(what_ran("plain"), ["0 in attempt 1", "1 in attempt 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_recorded_step_is_not_run_again_after_a_crash() {
    let agent = agent().await;
    agent.crash_before_step(("page", 1));
    agent.crash_after_step(("page", 2));
    awaited(&agent, "transcribe", "crashes", 3).await;
    assert_eq!(
        what_ran("crashes"),
        ["0 in attempt 1", "1 in attempt 2", "2 in attempt 2"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_process_dies_each_time_fails_after_its_attempts() {
    let agent = agent().await;
    for _ in 0..9 {
        agent.crash_before_step(("page", 0));
    }
    let reply = awaited(&agent, "transcribe", "poison", 1).await;
    let error = reply["error"].as_str().unwrap();
    assert!(
        error.ends_with("failed: its process died, or did not renew its lease"),
        "{error}"
    );
    // Four of the nine have been used up.
    let mut left = 0;
    loop {
        let after = agent
            .invoke(json!({ "do": "await", "task": "transcribe", "test": "poison", "number": 1 }))
            .await;
        left += 1;
        if after.status() == 200 {
            break;
        }
    }
    // 9 = 4 + 4 + 1.
    assert_eq!(left, 2);
    assert_eq!(what_ran("poison"), ["0 in attempt 2"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_tried_again_and_a_permanent_one_is_not() {
    let agent = agent().await;
    assert_eq!(awaited(&agent, "fail", "twice", 2).await, 3);
    let reply = awaited(&agent, "fail", "always", 9).await;
    let error = reply["error"].as_str().unwrap();
    assert!(error.ends_with("failed: failure 3"), "{error}");
    assert_eq!(what_ran("always").len(), 3);
    let reply = awaited(&agent, "fail_for_good", "permanent", 9).await;
    let error = reply["error"].as_str().unwrap();
    assert!(error.ends_with("failed: failure 1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_timeout_are_failures() {
    let agent = agent().await;
    let reply = awaited(&agent, "explode", "explode", 0).await;
    let error = reply["error"].as_str().unwrap();
    assert!(error.ends_with("failed: panicked: no luck"), "{error}");
    let reply = awaited(&agent, "hang", "hang", 0).await;
    let error = reply["error"].as_str().unwrap();
    assert!(error.ends_with("failed: took longer than 10s"), "{error}");
    assert_eq!((what_ran("explode").len(), what_ran("hang").len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_all_attempts() {
    let agent = agent().await;
    let reply = awaited(&agent, "never_in_time", "deadline", 0).await;
    let error = reply["error"].as_str().unwrap();
    assert!(error.contains("took longer than 20s together"), "{error}");
    assert_eq!(what_ran("deadline").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_told_and_then_dropped() {
    let agent = agent().await;
    let job = submitted(
        &agent,
        json!({ "do": "submit", "task": "until_cancelled", "test": "cancel" }),
    )
    .await;
    while what_ran("cancel").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(agent.ping().await.status.is_busy());
    assert_eq!(
        status(&agent, &job).await,
        json!({ "status": "running", "attempt": 1 })
    );
    assert_eq!(
        submitted(&agent, json!({ "do": "cancel", "job": job })).await,
        true
    );
    assert_eq!(
        submitted(&agent, json!({ "do": "cancel", "job": job })).await,
        false
    );
    let began = tokio::time::Instant::now();
    agent.idle().await;
    assert_eq!(what_ran("cancel"), ["begun", "told"]);
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(
        status(&agent, &job).await,
        json!({ "status": "cancelled", "attempt": 1 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_finds_the_first_job_and_other_arguments_are_a_conflict() {
    let agent = agent().await;
    let submit = |test: &str| json!({ "do": "submit", "task": "", "test": test, "key": "k" });
    let first = submitted(&agent, submit("key")).await;
    let second = submitted(&agent, submit("key")).await;
    assert_eq!(
        (&first["new"], &second["new"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(first["job"], second["job"]);
    assert_eq!(agent.invoke(submit("other key")).await.status(), 409);
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_too_large_are_refused() {
    let agent = agent().await;
    let reply = agent
        .invoke(json!({ "do": "await", "task": "too_large", "test": "" }))
        .await;
    assert_eq!(reply.status(), 413);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_job_does_not_make_the_agent_busy_and_runs_later() {
    let agent = agent().await;
    let event = json!({ "do": "submit", "task": "", "test": "delayed", "after": 3600 });
    let job = submitted(&agent, event).await["job"].clone();
    agent.idle().await;
    assert!(!agent.ping().await.status.is_busy());
    assert_eq!(
        status(&agent, &job).await,
        json!({ "status": "queued", "attempt": 1 })
    );
    tokio::time::sleep(Duration::from_secs(3590)).await;
    assert_eq!(what_ran("delayed").len(), 0);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(what_ran("delayed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_for_callers_of_its_session() {
    let agent = agent().await;
    let submit = json!({ "do": "submit", "task": "", "test": "session" });
    let job = agent.invoke_as("alice", submit).await.json::<Value>()["job"].clone();
    agent.idle().await;
    let ask = json!({ "do": "status", "job": job });
    let own: Value = agent.invoke_as("alice", ask.clone()).await.json();
    assert_eq!(own["status"], "completed");
    for reply in [
        agent.invoke_as("bob", ask.clone()).await,
        agent.invoke(ask).await,
    ] {
        assert_eq!(reply.json::<Value>(), json!({ "status": "unknown" }));
    }
    let cancel: Value = agent
        .invoke_as("bob", json!({ "do": "cancel", "job": job }))
        .await
        .json();
    assert_eq!(cancel, false);
    let shared = json!({ "do": "submit", "task": "", "test": "session", "any_session": true });
    let job = agent.invoke_as("alice", shared).await.json::<Value>()["job"].clone();
    agent.idle().await;
    assert_eq!(status(&agent, &job).await["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_as_often_at_once_as_it_says() {
    let agent = agent().await;
    let jobs = (0..6).map(|number| awaited(&agent, "two_at_once", "", number));
    let began = tokio::time::Instant::now();
    let mut jobs: Vec<_> = jobs.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        jobs.retain_mut(|job| job.as_mut().poll(cx).is_pending());
        if jobs.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    // Six in twos.
    assert_eq!(began.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_used_twice_stands_for_two_steps() {
    let agent = agent().await;
    agent.crash_before_step("end");
    assert_eq!(
        awaited(&agent, "named_twice", "names", 0).await,
        json!([1, 2, 3])
    );
    assert_eq!(
        what_ran("names"),
        ["1", "2", "try 0", "try 1", "try 2", "try 3"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_function_is_recorded_under_its_arguments() {
    let agent = agent().await;
    agent.crash_before_step("end");
    assert_eq!(
        awaited(&agent, "with_step_functions", "functions", 0).await,
        6
    );
    assert_eq!(what_ran("functions"), ["doubled 1", "doubled 2"]);
    // Outside of a durable task it is a function.
    assert_eq!(doubled(4, "outside").await.unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn progress_is_shown_while_the_job_runs() {
    let agent = agent().await;
    let job = submitted(
        &agent,
        json!({ "do": "submit", "task": "progress", "test": "" }),
    )
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let running = json!({ "status": "running", "attempt": 1, "progress": { "rows": 7 } });
    assert_eq!(status(&agent, &job).await, running);
    submitted(&agent, json!({ "do": "cancel", "job": job })).await;
    agent.idle().await;
}

#[tokio::test(start_paused = true)]
async fn work_that_outlives_its_job_ends_and_records_nothing() {
    let agent = agent().await;
    awaited(&agent, "leaves_work_behind", "left behind", 0).await;
    agent.idle().await;
    assert_eq!(what_ran("left behind"), ["notify", "end"]);
}

#[tokio::test(start_paused = true)]
async fn outside_of_an_agent_there_is_no_store() {
    let error = transcribe(String::new(), 1).await.unwrap_err();
    assert!(
        error.to_string().contains("outside of an agent's work"),
        "{error}"
    );
    assert_eq!(JobStatus::Unknown.attempt(), None);
}
