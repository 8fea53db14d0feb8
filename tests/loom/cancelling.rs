//! A request is cancelled while its code asks for the token.

use loom::sync::Arc;
use loom::thread;

use crate::cancellation::request::Cancellation;
use crate::executor::explore;
use crate::sync::Token;

#[test]
fn a_token_is_cancelled_whenever_it_is_asked_for() {
    explore(3, || {
        let cancellation = Arc::new(Cancellation::default());
        let asks = |cancellation: &Arc<Cancellation>| {
            let cancellation = Arc::clone(cancellation);
            thread::spawn(move || cancellation.token(&Token::default()))
        };
        let (one, other) = (asks(&cancellation), asks(&cancellation));
        cancellation.cancel();
        assert!(one.join().unwrap().is_cancelled());
        assert!(other.join().unwrap().is_cancelled());
    });
}
