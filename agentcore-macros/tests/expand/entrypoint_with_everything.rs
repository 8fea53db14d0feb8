/// Documented.
pub(crate) async fn handler(
    Tenant(tenant): Tenant,
    #[cfg(feature = "payload")]
    mut event: Event,
    _: HeaderMap,
) -> Result<Reply, Failure> {
    body(tenant, event)
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_ENTRYPOINT_handler: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreEntrypoint {}
    impl ::agentcore::__private::Entrypoint for __AgentcoreEntrypoint {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            (&::agentcore::__private::Probe::<Tenant>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<Tenant>(__agentcore_requirements);
            #[cfg(feature = "payload")]
            (&::agentcore::__private::Probe::<Event>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<Event>(__agentcore_requirements);
            (&::agentcore::__private::Probe::<HeaderMap>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<HeaderMap>(__agentcore_requirements);
        }
        fn describe(__agentcore_description: &mut ::agentcore::__private::Schemas) {
            (&&&&::agentcore::__private::Probe::<Tenant>::NEW)
                .__agentcore_payload_schema()
                .__agentcore_describe(
                    ::agentcore::__private::Probe::<Tenant>::NEW,
                    __agentcore_description,
                );
            #[cfg(feature = "payload")]
            (&&&&::agentcore::__private::Probe::<Event>::NEW)
                .__agentcore_payload_schema()
                .__agentcore_describe(
                    ::agentcore::__private::Probe::<Event>::NEW,
                    __agentcore_description,
                );
            (&&&&::agentcore::__private::Probe::<HeaderMap>::NEW)
                .__agentcore_payload_schema()
                .__agentcore_describe(
                    ::agentcore::__private::Probe::<HeaderMap>::NEW,
                    __agentcore_description,
                );
            #[allow(unreachable_code, clippy::diverging_sub_expression)]
            {
                let __agentcore_probe = ::agentcore::__private::Probe::of_async_call(
                    &|| handler(
                        ::agentcore::__private::never::<Tenant>(),
                        #[cfg(feature = "payload")]
                        ::agentcore::__private::never::<Event>(),
                        ::agentcore::__private::never::<HeaderMap>(),
                    ),
                );
                let __agentcore_probe = (&__agentcore_probe)
                    .__agentcore_outcome()
                    .__agentcore_value(__agentcore_probe);
                let __agentcore_tuple = (__agentcore_probe,);
                (&&&&&&&__agentcore_probe)
                    .__agentcore_reply_schema()
                    .__agentcore_describe(__agentcore_tuple.0, __agentcore_description);
            }
        }
        fn call(
            mut __agentcore_invocation: ::agentcore::__private::Invocation,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Response,
        > + ::agentcore::__private::Send + 'static {
            async move {
                let __agentcore_arg0 = match (&::agentcore::__private::Probe::<
                    Tenant,
                >::NEW)
                    .__agentcore_argument()
                    .__agentcore_extract(
                        ::agentcore::__private::Probe::<Tenant>::NEW,
                        &mut __agentcore_invocation,
                    )
                {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(rejection) => return rejection,
                };
                #[cfg(feature = "payload")]
                let __agentcore_arg1 = match (&::agentcore::__private::Probe::<
                    Event,
                >::NEW)
                    .__agentcore_argument()
                    .__agentcore_extract(
                        ::agentcore::__private::Probe::<Event>::NEW,
                        &mut __agentcore_invocation,
                    )
                {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(rejection) => return rejection,
                };
                let __agentcore_arg2 = match (&::agentcore::__private::Probe::<
                    HeaderMap,
                >::NEW)
                    .__agentcore_argument()
                    .__agentcore_extract(
                        ::agentcore::__private::Probe::<HeaderMap>::NEW,
                        &mut __agentcore_invocation,
                    )
                {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(rejection) => return rejection,
                };
                ::agentcore::__private::drop(__agentcore_invocation);
                let __agentcore_returned = (
                    ::agentcore::__private::entrypoint_future_must_be_send(
                            handler(
                                __agentcore_arg0,
                                #[cfg(feature = "payload")]
                                __agentcore_arg1,
                                __agentcore_arg2,
                            ),
                        )
                        .await,
                );
                match (&::agentcore::__private::Probe::of(&__agentcore_returned.0))
                    .__agentcore_outcome()
                    .__agentcore_result(__agentcore_returned.0)
                {
                    ::agentcore::__private::Ok(value) => {
                        let __agentcore_value = (value,);
                        (&&&&::agentcore::__private::Probe::of(&__agentcore_value.0))
                            .__agentcore_reply()
                            .__agentcore_respond(__agentcore_value.0)
                    }
                    ::agentcore::__private::Err(error) => {
                        let __agentcore_error = (error,);
                        (&&&::agentcore::__private::Probe::of(&__agentcore_error.0))
                            .__agentcore_failure()
                            .__agentcore_respond(__agentcore_error.0)
                    }
                }
            }
        }
    }
    const __AGENTCORE_ONE_PAYLOAD: () = {
        let mut __agentcore_payloads = 0;
        if ::agentcore::__private::Probe::<Tenant>::__AGENTCORE_IS_PAYLOAD {
            __agentcore_payloads += 1;
        }
        #[cfg(feature = "payload")]
        if ::agentcore::__private::Probe::<Event>::__AGENTCORE_IS_PAYLOAD {
            __agentcore_payloads += 1;
            if __agentcore_payloads > 1 {
                ::agentcore::__private::core::panic!(
                    "{}",
                    "only one argument may be the JSON payload; `Event` is a second one\n\nhelp: combine them in a struct; take a value that a start hook made as `agentcore::State<Event>`; or implement `agentcore::FromInvocation` for one of them"
                )
            }
        }
        if ::agentcore::__private::Probe::<HeaderMap>::__AGENTCORE_IS_PAYLOAD {
            __agentcore_payloads += 1;
            if __agentcore_payloads > 1 {
                ::agentcore::__private::core::panic!(
                    "{}",
                    "only one argument may be the JSON payload; `HeaderMap` is a second one\n\nhelp: combine them in a struct; take a value that a start hook made as `agentcore::State<HeaderMap>`; or implement `agentcore::FromInvocation` for one of them"
                )
            }
        }
    };
    ::agentcore::__private::inventory::submit! {
        ::agentcore::__private::EntrypointDef::new:: < __AgentcoreEntrypoint >
        (::agentcore::__private::Meta::new("chat",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()),
        ::agentcore::__private::Package::new(::agentcore::__private::core::option_env!("CARGO_PKG_NAME"),
        ::agentcore::__private::core::option_env!("CARGO_PKG_VERSION")))
        .timeout(::agentcore::__private::Duration::new(90, 0))
        .idle_timeout(::agentcore::__private::Duration::new(20, 0))
        .cancel_on_disconnect()
    }
};
