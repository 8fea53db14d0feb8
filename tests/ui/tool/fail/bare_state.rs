struct Database;

#[agentcore::tool]
async fn forecast(city: String, database: Database) -> String {
    let _ = database;
    city
}

fn main() {}
