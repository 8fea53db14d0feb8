//! Every form that a websocket handler may have.

use std::fmt;

use agentcore::{BoxError, HeaderMap, RequestContext, State, WebSocket, WebSocketError};

mod unit {
    #[agentcore::websocket]
    async fn handler(_socket: agentcore::WebSocket) {}
}

mod result {
    use super::*;

    #[agentcore::websocket]
    async fn handler(mut socket: WebSocket) -> Result<(), WebSocketError> {
        while let Some(message) = socket.recv().await {
            socket.send(message?).await?;
        }
        Ok(())
    }
}

mod any_order {
    use super::*;

    type Connection = WebSocket;
    type Outcome = Result<(), BoxError>;

    #[agentcore::websocket]
    async fn handler(
        context: RequestContext,
        headers: HeaderMap,
        socket: Connection,
        state: State<String>,
    ) -> Outcome {
        socket.send(format!("{context:?} {headers:?} {state:?}")).await?;
        Ok(())
    }
}

mod own_error {
    use super::*;

    #[derive(Debug)]
    struct Failure;

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("failure")
        }
    }

    impl std::error::Error for Failure {}

    #[agentcore::websocket(crate = ::agentcore)]
    async fn handler(#[cfg(any())] _: String, _: WebSocket) -> Result<(), Failure> {
        Err(Failure)
    }
}

macro_rules! handler {
    ($name:ident, $socket:ty) => {
        #[agentcore::websocket]
        async fn $name(socket: $socket) {
            let _ = socket.send("hello").await;
        }
    };
}

mod by_macro_rules {
    use super::*;

    handler!(greet, WebSocket);
}

fn main() {}
