//! The statements that read recorded steps.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::fault::Fault;
use super::super::link::{Again, Lane, Link};
use super::super::or_nothing;
use super::super::types::{JsonText, Number};
use super::super::writes::Parameters;
use super::of_task;
use crate::engine::stored;
use crate::engine::{JobId, Reply, Step};

/// The most steps of a page, and about the most bytes of it, as they are stored.
const MOST_STEPS: usize = 256;
const MOST_BYTES: usize = 1024 * 1024;

/// The steps that count for the newest attempt, as Absurd's `get_task_checkpoint_states` returns them.
const STEPS: &str = "FROM absurd.\"t_{task}\" t JOIN absurd.\"r_{task}\" r ON r.run_id = t.last_attempt_run
     JOIN absurd.\"c_{task}\" c ON c.task_id = t.task_id LEFT JOIN absurd.\"r_{task}\" o ON o.run_id = c.owner_run_id
     WHERE t.task_id = $1 AND c.status = 'committed' AND (o.attempt IS NULL OR o.attempt <= r.attempt)";

/// All steps of a job. The worker's connection is left alone: renewals must not wait behind a long history.
pub(in super::super) fn all<'a>(link: &'a Link, id: &'a JobId) -> Reply<'a, Vec<Step>> {
    Box::pin(async move {
        let listed = {
            let id = id.clone();
            let list = link.call(Lane::Other, Again::Yes, move |client, _| {
                let id = id.clone();
                async move { or_nothing(list(&client, &id).await) }
            });
            list.await?
        };
        let mut steps = Vec::with_capacity(listed.len());
        for page in pages(listed) {
            let asked = Arc::new((id.clone(), page));
            let read = link.call(Lane::Other, Again::Yes, move |client, _| {
                let asked = asked.clone();
                async move { or_nothing(read(&client, &asked.0, &asked.1).await) }
            });
            steps.extend(read.await?);
        }
        Ok(steps)
    })
}

/// The names of the steps in the order of their records, with the bytes that their values take in the database.
pub(in super::super) async fn list(
    client: &Client,
    id: &JobId,
) -> Result<Vec<(String, usize)>, Fault> {
    let statement = format!(
        "SELECT c.checkpoint_name, pg_column_size(c.state) {} ORDER BY c.updated_at, c.checkpoint_name",
        of_task(STEPS, id.task())
    );
    let mut listed = Vec::new();
    let parameters: Parameters<'_> = &[(&Number(id.number()), Type::UUID)];
    for row in client.query_typed(&statement, parameters).await? {
        let bytes: Option<i32> = row.try_get(1)?;
        listed.push((
            row.try_get(0)?,
            usize::try_from(bytes.unwrap_or(0)).unwrap_or(0),
        ));
    }
    Ok(listed)
}

/// The names of each page.
fn pages(listed: Vec<(String, usize)>) -> Vec<Vec<String>> {
    let mut pages = Vec::<Vec<String>>::new();
    let mut bytes = 0;
    for (name, more) in listed {
        bytes += more;
        match pages.last_mut() {
            Some(page) if page.len() < MOST_STEPS && bytes <= MOST_BYTES => page.push(name),
            _ => {
                bytes = more;
                pages.push(vec![name]);
            }
        }
    }
    pages
}

/// The steps of these names that there are.
pub(in super::super) async fn read(
    client: &Client,
    id: &JobId,
    names: &[String],
) -> Result<Vec<Step>, Fault> {
    let statement = format!(
        "SELECT c.checkpoint_name, c.state {} AND c.checkpoint_name = ANY($2) ORDER BY c.updated_at, c.checkpoint_name",
        of_task(STEPS, id.task())
    );
    let parameters: Parameters<'_> = &[
        (&Number(id.number()), Type::UUID),
        (&names, Type::TEXT_ARRAY),
    ];
    let mut steps = Vec::new();
    for row in client.query_typed(&statement, parameters).await? {
        let value: Option<JsonText<String>> = row.try_get(1)?;
        steps.push(Step {
            name: row.try_get(0)?,
            value: stored::value(value.map(|text| text.0)),
        });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_in_steps_and_bytes() {
        let pages = |sizes: &[usize]| {
            let listed = sizes.iter().map(|bytes| (String::new(), *bytes));
            let pages = pages(listed.collect());
            pages.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(pages(&[]), [0; 0]);
        assert_eq!(pages(&[1; MOST_STEPS + 1]), [MOST_STEPS, 1]);
        assert_eq!(
            pages(&[MOST_BYTES / 2, MOST_BYTES / 2, 1, MOST_BYTES]),
            [2, 1, 1]
        );
        assert_eq!(
            pages(&[2 * MOST_BYTES, 1]),
            [1, 1],
            "one value is never cut"
        );
    }
}
