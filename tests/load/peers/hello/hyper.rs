use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Error> {
    let reply = match request.uri().path() {
        "/ping" => json!({ "status": "Healthy" }),
        _ => {
            let body = request.into_body().collect().await?.to_bytes();
            let event: Value = serde_json::from_slice(&body)?;
            json!({ "echo": event })
        }
    };
    Ok(Response::new(Full::from(serde_json::to_vec(&reply)?)))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            let _ = connection.await;
        });
    }
}
