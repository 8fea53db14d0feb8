struct Forecast;

#[agentcore::tool]
async fn forecast() -> Forecast {
    Forecast
}

#[agentcore::tool]
async fn perhaps() -> Result<Forecast, agentcore::BoxError> {
    Ok(Forecast)
}

#[agentcore::tool]
async fn response() -> agentcore::Response {
    agentcore::Response::text("mild")
}

fn main() {}
