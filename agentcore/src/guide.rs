//! [super::background]: self::background
//! [super::concepts]: self::concepts
//! [super::configuration]: self::configuration
//! [super::durable]: self::durable
//! [super::errors]: self::errors
//! [super::faq]: self::faq
//! [super::from_python]: self::from_python
//! [super::limits]: self::limits
//! [super::logging]: self::logging
//! [super::quick_start]: self::quick_start
//! [super::routes]: self::routes
//! [super::snapshots]: self::snapshots
//! [super::state]: self::state
//! [super::streaming]: self::streaming
//! [super::testing]: self::testing
//! [super::tools]: self::tools
//! [super::websockets]: self::websockets
#![doc = include_str!("../docs/guide.md")]
//!
//! This module is documentation only: builds do not contain it.

pub mod quick_start {
    //! [super::concepts]: super::concepts
    //! [super::from_python]: super::from_python
    #![doc = include_str!("../docs/guide/quick_start.md")]
}
pub mod concepts {
    //! [crate::Config::session_policy]: crate::Config::session_policy
    //! [crate::PingStatus]: crate::PingStatus
    //! [crate::add_async_task]: crate::add_async_task
    //! [crate::current_ping_status]: crate::current_ping_status
    //! [crate::force_ping_status]: crate::force_ping_status
    //! [crate::spawn]: crate::spawn
    //! [crate::track]: crate::track
    //! [macro@crate::async_task]: macro@crate::async_task
    //! [macro@crate::entrypoint]: macro@crate::entrypoint
    //! [macro@crate::on_restore]: macro@crate::on_restore
    //! [macro@crate::on_warmup]: macro@crate::on_warmup
    //! [macro@crate::ping]: macro@crate::ping
    //! [macro@crate::routes]: macro@crate::routes
    //! [macro@crate::websocket]: macro@crate::websocket
    //! [super::durable]: super::durable
    //! [super::faq]: super::faq
    //! [super::snapshots]: super::snapshots
    //! [super::tools]: super::tools
    #![doc = include_str!("../docs/guide/concepts.md")]
}
#[cfg(feature = "mcp")]
pub mod tools {
    //! [crate::App::layer]: crate::App::layer
    //! [crate::FromInvocation]: crate::FromInvocation
    //! [crate::Stream]: crate::Stream
    //! [crate::tool::Client]: crate::tool::Client
    //! [crate::tool::Content]: crate::tool::Content
    //! [fn@crate::tool::resource_changed]: fn@crate::tool::resource_changed
    //! [fn@crate::tools]: fn@crate::tools
    //! [macro@crate::on_restore]: macro@crate::on_restore
    //! [macro@crate::prompt]: macro@crate::prompt
    //! [macro@crate::resource]: macro@crate::resource
    //! [macro@crate::tool]: macro@crate::tool
    #![doc = include_str!("../docs/guide/tools.md")]
}
#[cfg(not(feature = "mcp"))]
pub mod tools {
    //! This page needs the feature `mcp`.
}
pub mod errors {
    //! [crate::BoxError]: crate::BoxError
    //! [crate::HttpError]: crate::HttpError
    //! [crate::HttpError::with_body]: crate::HttpError::with_body
    //! [crate::HttpError::with_source]: crate::HttpError::with_source
    //! [crate::HttpErrorExt]: crate::HttpErrorExt
    //! [crate::IntoResponse]: crate::IntoResponse
    //! [crate::Response::try_stream]: crate::Response::try_stream
    //! [crate::stream]: crate::stream
    //! [crate::try_stream]: crate::try_stream
    //! [macro@crate::entrypoint]: macro@crate::entrypoint
    //! [super::streaming]: super::streaming
    #![doc = include_str!("../docs/guide/errors.md")]
}
pub mod streaming {
    //! [crate::App::idle_timeout]: crate::App::idle_timeout
    //! [crate::App::timeout]: crate::App::timeout
    //! [crate::Response::json]: crate::Response::json
    //! [crate::Response::stream]: crate::Response::stream
    //! [crate::Response::try_stream]: crate::Response::try_stream
    //! [crate::sse::Event]: crate::sse::Event
    //! [crate::stream]: crate::stream
    //! [crate::try_stream]: crate::try_stream
    #![doc = include_str!("../docs/guide/streaming.md")]
}
pub mod websockets {
    //! [crate::Config::ws_origins]: crate::Config::ws_origins
    //! [crate::run]: crate::run
    //! [macro@crate::websocket]: macro@crate::websocket
    #![doc = include_str!("../docs/guide/websockets.md")]
}
pub mod routes {
    //! [crate::App::layer]: crate::App::layer
    //! [crate::App::routes]: crate::App::routes
    //! [crate::App::routes_on]: crate::App::routes_on
    //! [crate::App::run]: crate::App::run
    //! [crate::telemetry]: crate::telemetry
    //! [crate::testing::TestClient]: crate::testing::TestClient
    //! [macro@crate::routes]: macro@crate::routes
    #![doc = include_str!("../docs/guide/routes.md")]
}
pub mod background {
    //! [crate::Config::task_max_age]: crate::Config::task_max_age
    //! [crate::RequestContext::current]: crate::RequestContext::current
    //! [crate::State::current]: crate::State::current
    //! [crate::TaskBuilder]: crate::TaskBuilder
    //! [crate::TaskBuilder::any_session]: crate::TaskBuilder::any_session
    //! [crate::TaskGuard::wrap]: crate::TaskGuard::wrap
    //! [crate::SpawnedTask::abort]: crate::SpawnedTask::abort
    //! [crate::TaskHandle::detach]: crate::TaskHandle::detach
    //! [crate::add_async_task]: crate::add_async_task
    //! [crate::cancel_task]: crate::cancel_task
    //! [crate::spawn]: crate::spawn
    //! [crate::task_status]: crate::task_status
    //! [crate::track]: crate::track
    //! [macro@crate::async_task]: macro@crate::async_task
    //! [super::durable]: super::durable
    #![doc = include_str!("../docs/guide/background.md")]
}
#[cfg(feature = "durable")]
pub mod durable {
    //! [crate::Config::durable]: crate::Config::durable
    //! [crate::Config::durable_concurrency]: crate::Config::durable_concurrency
    //! [crate::Config::durable_lease]: crate::Config::durable_lease
    //! [crate::Config::durable_work]: crate::Config::durable_work
    //! [crate::Config::shutdown_grace]: crate::Config::shutdown_grace
    //! [crate::TaskContext::id]: crate::TaskContext::id
    //! [crate::spawn]: crate::spawn
    //! [crate::step()]: crate::step()
    //! [crate::testing::TestClient]: crate::testing::TestClient
    //! [crate::testing::TestClient::crash_before_step]: crate::testing::TestClient::crash_before_step
    //! [macro@crate::async_task]: macro@crate::async_task
    //! [super::snapshots]: super::snapshots
    #![doc = include_str!("../docs/guide/durable.md")]
}
#[cfg(not(feature = "durable"))]
pub mod durable {
    //! Durable tasks. This page needs the feature `durable`.
}
pub mod state {
    //! [crate::App::on_shutdown]: crate::App::on_shutdown
    //! [crate::App::on_start]: crate::App::on_start
    //! [crate::App::state]: crate::App::state
    //! [crate::Config::shutdown_grace]: crate::Config::shutdown_grace
    //! [crate::State::current]: crate::State::current
    //! [crate::spawn]: crate::spawn
    //! [macro@crate::on_restore]: macro@crate::on_restore
    //! [super::snapshots]: super::snapshots
    #![doc = include_str!("../docs/guide/state.md")]
}
pub mod snapshots {
    //! [crate::Config::warmup_path]: crate::Config::warmup_path
    //! [crate::Config::warmup_timeout]: crate::Config::warmup_timeout
    //! [macro@crate::on_restore]: macro@crate::on_restore
    //! [macro@crate::on_warmup]: macro@crate::on_warmup
    //! [macro@crate::routes]: macro@crate::routes
    //! [super::durable]: super::durable
    #![doc = include_str!("../docs/guide/snapshots.md")]
}
pub mod configuration {
    //! [crate::App::admin_listener]: crate::App::admin_listener
    //! [crate::App::bind]: crate::App::bind
    //! [crate::App::flags]: crate::App::flags
    //! [crate::App::layer]: crate::App::layer
    //! [crate::App::listener]: crate::App::listener
    //! [crate::App::run]: crate::App::run
    //! [crate::App::serve]: crate::App::serve
    //! [crate::Config]: crate::Config
    //! [crate::Config::admin_port]: crate::Config::admin_port
    //! [crate::run()]: crate::run()
    //! [super::logging]: super::logging
    #![doc = include_str!("../docs/guide/configuration.md")]
}
pub mod logging {
    //! [crate::outbound_headers]: crate::outbound_headers
    //! [crate::telemetry]: crate::telemetry
    //! [crate::telemetry::log_layer]: crate::telemetry::log_layer
    #![doc = include_str!("../docs/guide/logging.md")]
}
pub mod limits {
    //! [crate::Config::max_body_bytes]: crate::Config::max_body_bytes
    //! [crate::Config::max_connections]: crate::Config::max_connections
    //! [crate::Config::max_header_bytes]: crate::Config::max_header_bytes
    //! [crate::Config::max_invocations]: crate::Config::max_invocations
    //! [crate::Config::max_json_nodes]: crate::Config::max_json_nodes
    //! [crate::Config::session_policy]: crate::Config::session_policy
    //! [crate::Config::write_timeout]: crate::Config::write_timeout
    //! [crate::Config::ws_max_message_bytes]: crate::Config::ws_max_message_bytes
    //! [crate::Config::ws_read_ahead_bytes]: crate::Config::ws_read_ahead_bytes
    //! [crate::Config::ws_read_ahead_total_bytes]: crate::Config::ws_read_ahead_total_bytes
    //! [macro@crate::entrypoint]: macro@crate::entrypoint
    #![doc = include_str!("../docs/guide/limits.md")]
}
pub mod testing {
    //! [crate::App::config]: crate::App::config
    //! [crate::testing::TestClient]: crate::testing::TestClient
    //! [crate::testing::TestClient::from_registry]: crate::testing::TestClient::from_registry
    //! [crate::testing::TestClient::get]: crate::testing::TestClient::get
    //! [crate::testing::TestClient::idle]: crate::testing::TestClient::idle
    //! [crate::testing::TestClient::invoke]: crate::testing::TestClient::invoke
    //! [crate::testing::TestClient::invoke_as]: crate::testing::TestClient::invoke_as
    //! [crate::testing::TestClient::ping]: crate::testing::TestClient::ping
    //! [crate::testing::TestClient::post]: crate::testing::TestClient::post
    //! [crate::testing::TestClient::request]: crate::testing::TestClient::request
    //! [crate::testing::TestClient::restore]: crate::testing::TestClient::restore
    //! [crate::testing::TestClient::shutdown]: crate::testing::TestClient::shutdown
    //! [crate::testing::TestClient::stream]: crate::testing::TestClient::stream
    //! [crate::testing::TestClient::tasks]: crate::testing::TestClient::tasks
    //! [crate::testing::TestClient::warm_up]: crate::testing::TestClient::warm_up
    //! [crate::testing::TestClient::websocket]: crate::testing::TestClient::websocket
    //! [crate::testing::TestRequest::send]: crate::testing::TestRequest::send
    //! [crate::testing::TestRequest::stream]: crate::testing::TestRequest::stream
    //! [crate::testing::TestRequest::websocket]: crate::testing::TestRequest::websocket
    //! [super::routes]: super::routes
    #![doc = include_str!("../docs/guide/testing.md")]
}
pub mod from_python {
    //! [crate::AccessToken]: crate::AccessToken
    //! [crate::Message]: crate::Message
    //! [crate::RequestContext::baggage]: crate::RequestContext::baggage
    //! [crate::State]: crate::State
    //! [crate::WebSocket::recv]: crate::WebSocket::recv
    //! [crate::spawn]: crate::spawn
    //! [macro@crate::on_restore]: macro@crate::on_restore
    //! [macro@crate::on_warmup]: macro@crate::on_warmup
    //! [super::errors]: super::errors
    //! [super::routes]: super::routes
    //! [super::snapshots]: super::snapshots
    //! [super::state]: super::state
    //! [super::streaming]: super::streaming
    #![doc = include_str!("../docs/guide/from_python.md")]
}
pub mod faq {
    //! [crate::App::entrypoint]: crate::App::entrypoint
    //! [crate::App::layer]: crate::App::layer
    //! [crate::CancellationToken]: crate::CancellationToken
    //! [crate::Config::session_policy]: crate::Config::session_policy
    //! [crate::Config::task_max_age]: crate::Config::task_max_age
    //! [crate::Header]: crate::Header
    //! [crate::HttpError]: crate::HttpError
    //! [crate::RequestContext::header]: crate::RequestContext::header
    //! [crate::RequestContext::headers]: crate::RequestContext::headers
    //! [crate::RequestContext::user_id]: crate::RequestContext::user_id
    //! [crate::SESSION_ENDPOINT_URL]: crate::SESSION_ENDPOINT_URL
    //! [crate::Response]: crate::Response
    //! [crate::Server::with_graceful_shutdown]: crate::Server::with_graceful_shutdown
    //! [crate::State]: crate::State
    //! [crate::async_task_info]: crate::async_task_info
    //! [crate::telemetry]: crate::telemetry
    //! [super::background]: super::background
    //! [super::errors]: super::errors
    #![doc = include_str!("../docs/guide/faq.md")]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Appends all sources below `folder` to `text`.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }

    /// A limit without a test may not hold.
    #[test]
    fn the_tests_that_hold_the_limits_exist() {
        let mut text = String::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        sources(&root.join("src"), &mut text);
        sources(&root.join("../tests/integration"), &mut text);
        sources(&root.join("../tests/protocols/tests"), &mut text);
        let page = include_str!("../docs/guide/limits.md");
        let rows = page.lines().filter(|line| line.starts_with("| "));
        let tests = rows
            .filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next())
            .flat_map(|cell| cell.split('`'))
            .filter_map(|code| code.split_once("::"))
            .filter(|(_, name)| !name.contains([':', ' ', '(']));
        let mut count = 0;
        for (module, name) in tests {
            assert!(text.contains(&format!("fn {name}(")), "{module}::{name}");
            count += 1;
        }
        assert!(count > 20, "this test no longer finds them");
    }
}
