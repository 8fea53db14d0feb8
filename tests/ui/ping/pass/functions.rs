//! Everything a ping handler can be.

use agentcore::{BoxError, PingStatus, ping};

struct Load(f32);

impl From<Load> for PingStatus {
    fn from(load: Load) -> Self {
        if load.0 > 0.5 { Self::HealthyBusy } else { Self::Healthy }
    }
}

#[ping]
fn plain() -> PingStatus {
    PingStatus::Healthy
}

#[ping]
async fn converted() -> Load {
    Load(0.1)
}

#[ping]
async fn fallible() -> Result<Load, BoxError> {
    Ok(Load("0.1".parse()?))
}

type Answer = anyhow::Result<PingStatus>;

#[ping(crate = "::agentcore")]
fn aliased() -> Answer {
    Ok(PingStatus::Healthy)
}

fn main() {}
