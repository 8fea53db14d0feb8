#[agentcore::async_task]
async fn wrong_value(input: u32) -> Vec<u32> {
    if input == 0 {
        return None;
    }
    input
}

#[agentcore::async_task]
async fn value_thrown_away(input: u32) -> u32 {
    input + 1;
}

#[agentcore::async_task]
async fn question_mark(input: &str) {
    let _: u32 = input.parse()?;
}

fn main() {}
