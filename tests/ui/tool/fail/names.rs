#[agentcore::tool(name = "the weather")]
async fn space() {}

#[agentcore::tool(name = "weather.now")]
async fn dot() {}

#[agentcore::tool(name = "")]
async fn empty() {}

#[agentcore::tool]
async fn météo() {}

#[agentcore::tool]
async fn a_name_that_is_longer_than_the_sixty_four_characters_that_models_take() {}

fn main() {}
