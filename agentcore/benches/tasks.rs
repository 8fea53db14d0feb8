//! What tracking costs: `cargo bench -p agentcore --bench tasks`.

use agentcore::{async_task_info, track};
use divan::Bencher;

fn main() {
    divan::main();
}

/// Begin and end, nothing else running: both are changes of the status, and are stamped.
#[divan::bench(threads = [1, 2], sample_size = 20_000)]
fn begin_and_end_when_idle() {
    drop(track("task"));
}

/// Begin and end while something else runs, as in every invocation.
#[divan::bench(threads = [1, 2], sample_size = 20_000)]
fn begin_and_end_when_busy(bencher: Bencher<'_, '_>) {
    let _other = track("other");
    bencher.bench(|| drop(track("task")));
}

/// The least that any tracker would pay: the time, and one counter up and down.
#[divan::bench(threads = [1, 2], sample_size = 20_000)]
fn floor_of_a_clock_and_a_counter() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::AcqRel);
    divan::black_box(std::time::Instant::now());
    COUNT.fetch_sub(1, Ordering::AcqRel);
}

/// The list of a million tasks.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn list_a_million(bencher: Bencher<'_, '_>) {
    let _guards: Vec<_> = (0..1_000_000).map(|_| track("task")).collect();
    bencher.bench_local(async_task_info);
}
