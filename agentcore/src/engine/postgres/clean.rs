//! The statement that removes old jobs.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::writes::Parameters;
use crate::engine::Keep;

/// Removes jobs that ended longer ago than they are kept, at most 1 000, unless another process is doing so.
///
/// Absurd's `cleanup_tasks` reads and sorts all jobs that have ended for that, which takes too long once there are millions.
/// The numbers of jobs begin with the time of their submission, so this reads the oldest ones by the primary key. A queue in
/// partitions has another table of keys, and is left to Absurd's function.
pub(super) async fn clean(client: &Client, task: &str, keep: Keep) -> Result<usize, Fault> {
    let seconds = |keep: std::time::Duration| i32::try_from(keep.as_secs()).unwrap_or(i32::MAX);
    let (done, failed) = (seconds(keep.done), seconds(keep.failed));
    let turn = "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(7211605, hashtext($1)) AS is_ours)";
    let keys = format!("absurd.\"i_{task}\"");
    let is_partitioned = "SELECT to_regclass($1) IS NOT NULL";
    let row = client
        .query_typed_one(is_partitioned, &[(&keys, Type::TEXT)])
        .await?;
    let removed = if row.try_get(0)? {
        let statement = format!(
            "{turn} SELECT absurd.cleanup_tasks($1, $2, 1000)::bigint FROM turn WHERE is_ours"
        );
        let longest = done.max(failed);
        let parameters: Parameters<'_> = &[(&task, Type::TEXT), (&longest, Type::INT4)];
        client.query_typed_opt(&statement, parameters).await?
    } else {
        let statement = format!(
            "{turn}, ages AS MATERIALIZED (
                 SELECT absurd.current_time() - $2 * interval '1 second' AS done,
                        absurd.current_time() - $3 * interval '1 second' AS failed
             ), bound AS MATERIALIZED (
                 SELECT (lpad(to_hex((extract(epoch FROM greatest(done, failed)) * 1000)::bigint), 12, '0')
                         || repeat('0', 20))::uuid AS number FROM ages
             ), old AS MATERIALIZED (
                 SELECT t.task_id FROM absurd.\"t_{task}\" t LEFT JOIN absurd.\"r_{task}\" r ON r.run_id = t.last_attempt_run
                 WHERE (SELECT is_ours FROM turn) AND t.task_id < (SELECT number FROM bound) AND CASE t.state
                     WHEN 'completed' THEN r.completed_at < (SELECT done FROM ages)
                     WHEN 'cancelled' THEN t.cancelled_at < (SELECT done FROM ages)
                     WHEN 'failed' THEN r.failed_at < (SELECT failed FROM ages)
                 END ORDER BY t.task_id LIMIT 1000
             ), waits AS (
                 DELETE FROM absurd.\"w_{task}\" WHERE task_id IN (SELECT task_id FROM old)
             ), steps AS (
                 DELETE FROM absurd.\"c_{task}\" WHERE task_id IN (SELECT task_id FROM old)
             ), runs AS (
                 DELETE FROM absurd.\"r_{task}\" WHERE task_id IN (SELECT task_id FROM old)
             ), tasks AS (
                 DELETE FROM absurd.\"t_{task}\" WHERE task_id IN (SELECT task_id FROM old) RETURNING 1
             )
             SELECT count(*) FROM tasks"
        );
        let parameters: Parameters<'_> = &[
            (&task, Type::TEXT),
            (&done, Type::INT4),
            (&failed, Type::INT4),
        ];
        client.query_typed_opt(&statement, parameters).await?
    };
    let removed: i64 = removed.map_or(Ok(0), |row| row.try_get(0))?;
    Ok(usize::try_from(removed).unwrap_or(0))
}
