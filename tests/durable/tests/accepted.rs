//! What a durable task and a step may be.

use agentcore::{BoxError, CancellationToken, Durable, State, TaskContext, async_task, step};

mod names {
    pub(crate) type Outcome<T> = Result<T, std::num::ParseIntError>;
}

/// An alias with one parameter.
#[async_task(durable)]
async fn parse(text: String) -> names::Outcome<u32> {
    text.parse()
}

/// Every kind of argument, and patterns where nothing is stored.
#[async_task(
    durable,
    name = "all.kinds-of_1",
    attempts = 1,
    timeout = "1s",
    deadline = "1h",
    concurrency = 1
)]
pub async fn kinds(
    mut text: String,
    r#type: Option<u32>,
    #[cfg(any())] absent: Absent,
    State(numbers): State<Vec<u32>>,
    _: TaskContext,
    token: agentcore::CancellationToken,
) -> Result<String, BoxError> {
    text.push_str(&format!("{:?}{}", r#type, numbers.len()));
    let _: CancellationToken = token;
    Ok(text)
}

/// Its own name makes another job.
#[async_task(durable)]
async fn again(times: u32) -> Result<(), BoxError> {
    if times > 0 {
        again(times - 1).submit().await?;
    }
    Ok(())
}

#[allow(unused_variables)]
#[async_task(durable)]
async fn lints(unused: u32) -> Result<(), BoxError> {
    let unused_too = 1;
    Ok(())
}

#[step(name = "sum")]
async fn sum<T: Into<u64> + Copy + serde::Serialize>(
    numbers: &[T],
    (a, _): (u8, u8),
    at: State<()>,
) -> Result<u64, &'static str> {
    let _ = at;
    if numbers.is_empty() {
        return Err("none");
    }
    Ok(numbers.iter().map(|number| (*number).into()).sum::<u64>() + u64::from(a))
}

fn main() {
    let call: Durable<u32> = parse("1".to_owned()).key("k").any_session();
    let _ = (call, kinds(String::new(), None), again(1), lints(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let state = || State::new(());
    assert_eq!(runtime.block_on(sum(&[1_u32, 2], (3, 0), state())), Ok(6));
    assert_eq!(
        runtime.block_on(sum::<u8>(&[], (3, 0), state())),
        Err("none")
    );
}
