//! Recorded steps, in SQL.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::jobs::Answer;
use crate::engine::{JobId, Json, Step};

/// The most steps of a page, and about the most bytes of it. Other calls wait while a page is read.
const MOST_STEPS: usize = 256;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Steps of a job, and the row behind which there may be more.
pub(super) struct Page {
    steps: Vec<Step>,
    last: Option<i64>,
}

impl Page {
    /// Moves the steps behind those of earlier pages. Returns where the next page begins, if there may be one.
    pub(super) fn add_to(self, steps: &mut Vec<Step>) -> Option<i64> {
        steps.extend(self.steps);
        self.last
    }
}

/// The steps whose rows come behind `after`.
pub(super) fn page(file: &Connection, id: &JobId, after: i64) -> Answer<Page> {
    let mut select = file.prepare_cached(
        "SELECT step, name, value FROM steps
         WHERE job = (SELECT job FROM jobs WHERE task = ?1 AND id = ?2) AND step > ?3 ORDER BY step",
    )?;
    let mut rows = select.query(params![id.task(), id.number().to_be_bytes(), after])?;
    let mut steps = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let value = Json::stored(row.get("value")?);
        bytes += value.text().len();
        steps.push(Step {
            name: row.get("name")?,
            value,
        });
        if steps.len() >= MOST_STEPS || bytes >= MOST_BYTES {
            let last = Some(row.get("step")?);
            return Ok(Page { steps, last });
        }
    }
    Ok(Page { steps, last: None })
}

/// The value of a step.
pub(super) fn one(file: &Connection, id: &JobId, name: &str) -> Answer<Option<Json>> {
    let mut select = file.prepare_cached(
        "SELECT value FROM steps WHERE job = (SELECT job FROM jobs WHERE task = ?1 AND id = ?2) AND name = ?3",
    )?;
    let value = select
        .query_row(params![id.task(), id.number().to_be_bytes(), name], |row| {
            row.get("value")
        })
        .optional()?;
    Ok(value.map(Json::stored))
}

/// The names of the steps, in the order of their records.
pub(super) fn names(file: &Connection, id: &JobId) -> Answer<Vec<String>> {
    let mut select = file.prepare_cached(
        "SELECT name FROM steps WHERE job = (SELECT job FROM jobs WHERE task = ?1 AND id = ?2) ORDER BY step",
    )?;
    let names = select.query_map(params![id.task(), id.number().to_be_bytes()], |row| {
        row.get("name")
    })?;
    Ok(names.collect::<Result<_, _>>()?)
}
