use agentcore::RequestContext;

#[agentcore::tool]
async fn twice(#[default] #[default(3)] days: u8) -> u8 {
    days
}

#[agentcore::tool]
async fn several(#[default(1, 2)] days: u8) -> u8 {
    days
}

#[agentcore::tool]
async fn of_another_type(#[default("three")] days: u8) -> u8 {
    days
}

#[agentcore::tool]
async fn of_an_extractor(#[default(None)] context: RequestContext) -> String {
    context.request_id().to_owned()
}

fn main() {}
