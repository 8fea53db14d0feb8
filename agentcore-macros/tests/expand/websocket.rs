async fn chat(
    context: RequestContext,
    #[cfg(unix)]
    mut socket: WebSocket,
) -> Result<(), Failure> {
    body(context, socket)
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_WEBSOCKET_chat: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreWebSocket {}
    impl ::agentcore::__private::WebSocketEndpoint for __AgentcoreWebSocket {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            (&&&::agentcore::__private::Probe::<RequestContext>::NEW)
                .__agentcore_socket_argument()
                .__agentcore_requires::<RequestContext>(__agentcore_requirements);
            #[cfg(unix)]
            (&&&::agentcore::__private::Probe::<WebSocket>::NEW)
                .__agentcore_socket_argument()
                .__agentcore_requires::<WebSocket>(__agentcore_requirements);
        }
        fn open(
            mut __agentcore_opening: ::agentcore::__private::Opening,
        ) -> ::agentcore::__private::Result<
            impl ::agentcore::__private::Future<
                Output = ::agentcore::__private::Result<
                    (),
                    ::agentcore::__private::BoxError,
                >,
            > + ::agentcore::__private::Send + 'static,
            ::agentcore::__private::Response,
        > {
            let __agentcore_arg0 = match (&&&::agentcore::__private::Probe::<
                RequestContext,
            >::NEW)
                .__agentcore_socket_argument()
                .__agentcore_take(
                    ::agentcore::__private::Probe::<RequestContext>::NEW,
                    &mut __agentcore_opening,
                )
            {
                ::agentcore::__private::Ok(value) => value,
                ::agentcore::__private::Err(rejection) => {
                    return ::agentcore::__private::Err(rejection);
                }
            };
            #[cfg(unix)]
            let __agentcore_arg1 = match (&&&::agentcore::__private::Probe::<
                WebSocket,
            >::NEW)
                .__agentcore_socket_argument()
                .__agentcore_take(
                    ::agentcore::__private::Probe::<WebSocket>::NEW,
                    &mut __agentcore_opening,
                )
            {
                ::agentcore::__private::Ok(value) => value,
                ::agentcore::__private::Err(rejection) => {
                    return ::agentcore::__private::Err(rejection);
                }
            };
            ::agentcore::__private::Ok(async move {
                let __agentcore_returned = (
                    ::agentcore::__private::websocket_future_must_be_send(
                            chat(__agentcore_arg0, #[cfg(unix)] __agentcore_arg1),
                        )
                        .await,
                );
                match (&::agentcore::__private::Probe::of(&__agentcore_returned.0))
                    .__agentcore_outcome()
                    .__agentcore_result(__agentcore_returned.0)
                {
                    ::agentcore::__private::Ok(value) => {
                        let __agentcore_value = (value,);
                        ::agentcore::__private::Ok(
                            ::agentcore::__private::SocketReply::__agentcore_done(
                                __agentcore_value.0,
                            ),
                        )
                    }
                    ::agentcore::__private::Err(error) => {
                        let __agentcore_error = (error,);
                        ::agentcore::__private::Err(
                            ::agentcore::__private::SocketError::__agentcore_boxed(
                                __agentcore_error.0,
                            ),
                        )
                    }
                }
            })
        }
    }
    const __AGENTCORE_ONE_SOCKET: () = {
        let mut __agentcore_sockets = 0;
        if ::agentcore::__private::Probe::<RequestContext>::__AGENTCORE_IS_SOCKET {
            __agentcore_sockets += 1;
            if __agentcore_sockets > 1 {
                ::agentcore::__private::core::panic!(
                    "{}",
                    "only one argument may be the socket; `WebSocket::split` makes two halves of it"
                )
            }
        }
        #[cfg(unix)]
        if ::agentcore::__private::Probe::<WebSocket>::__AGENTCORE_IS_SOCKET {
            __agentcore_sockets += 1;
            if __agentcore_sockets > 1 {
                ::agentcore::__private::core::panic!(
                    "{}",
                    "only one argument may be the socket; `WebSocket::split` makes two halves of it"
                )
            }
        }
        if __agentcore_sockets == 0 {
            ::agentcore::__private::core::panic!(
                "{}",
                "a websocket handler takes the socket: `socket: agentcore::WebSocket`"
            )
        }
    };
    ::agentcore::__private::inventory::submit! {
        ::agentcore::__private::WebSocketDef::new:: < __AgentcoreWebSocket >
        (::agentcore::__private::Meta::new("chat",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()),
        ::agentcore::__private::Package::new(::agentcore::__private::core::option_env!("CARGO_PKG_NAME"),
        ::agentcore::__private::core::option_env!("CARGO_PKG_VERSION")))
    }
};
