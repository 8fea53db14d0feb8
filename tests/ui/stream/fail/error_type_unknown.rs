use agentcore::try_stream;

fn main() {
    let numbers = try_stream! {
        for text in ["1", "2"] {
            yield text.parse::<u32>()?;
        }
    };
    drop(numbers);
}
