//! A short soak of a debug build. It checks the facts of the long soak without its time limits, because other tests disturb
//! those.

use std::time::Duration;

use agentcore_load::report::{Memory, Report};
use agentcore_load::soak::Soak;

fn short(time: Duration) -> Soak {
    let mut soak = Soak::new(env!("CARGO_BIN_EXE_agentcore-load-target"));
    soak.time = time;
    soak.clients = 40;
    soak.wave = Duration::from_millis(1_500);
    soak.quiet = Duration::from_millis(500);
    // A thread may have to wait for other work of the machine.
    soak.grace = Duration::from_secs(2);
    soak.enough = 100;
    // Backtraces of a debug build are large, and use data that is read once.
    soak.growth = Memory(64 << 20);
    soak
}

async fn run(soak: Soak) -> Report {
    // A wave that is under way is finished, however slow the machine is.
    let limit = soak.time + Duration::from_secs(300);
    let report = tokio::time::timeout(limit, soak.run());
    let report = report.await.expect("an end in time");
    report.expect("an agent that starts and answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ping_is_wrong_and_no_reply_is_lost() {
    let report = run(short(Duration::from_secs(25))).await;
    assert!(report.holds(), "{:#?}", report.broken());
}

/// A test of the soak itself: it notices an agent that does not count invocations as busy, and one whose stamp moves with every
/// ping.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_pings_are_noticed() {
    for lie in [
        ("AGENTCORE_BUSY_WHILE", "tasks"),
        ("AGENTCORE_STAMP_WHILE_BUSY", "refresh"),
    ] {
        let mut soak = short(Duration::from_secs(6));
        // Enough clients that an operation runs whenever a second ends, because only then a moving stamp shows.
        soak.clients = 20;
        soak.wave = Duration::from_secs(3);
        soak.environment.push(lie);
        let broken = run(soak).await.broken();
        assert!(
            broken.iter().any(|line| line.starts_with("wrong pings")),
            "{lie:?}: {broken:?}"
        );
    }
}
