use std::rc::Rc;

use agentcore::stream;
use futures_core::Stream;

#[agentcore::entrypoint]
async fn handler() -> impl Stream<Item = usize> {
    let shared = Rc::new(1);
    stream! {
        yield *shared;
    }
}
