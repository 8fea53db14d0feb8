use agentcore::{TaskBuilder, async_task, spawn};

#[async_task]
async fn work(input: &str, others: &[String]) -> usize {
    input.len() + others.len()
}

#[async_task]
async fn named<'a>(input: &'a str) {
    drop(input);
}

#[async_task]
async fn unnamed(input: &impl AsRef<str>) -> usize {
    input.as_ref().len()
}

#[async_task]
async fn generic<T: AsRef<str>>(input: T) -> usize {
    input.as_ref().len()
}

struct Worker(String);

impl Worker {
    #[async_task]
    async fn work(&self, times: usize) -> usize {
        self.0.len() * times
    }
}

async fn by_name(input: String) {
    spawn(work(&input, &[]));
    spawn(named(&input.clone()));
}

async fn in_a_type(input: String) {
    spawn(unnamed(&input));
}

async fn in_a_type_parameter(input: String) {
    spawn(generic(&input));
}

async fn by_method(worker: Worker) {
    TaskBuilder::new("work").spawn(worker.work(2));
}

fn main() {
    drop(by_name(String::new()));
    drop(in_a_type(String::new()));
    drop(in_a_type_parameter(String::new()));
    drop(by_method(Worker(String::new())));
}
