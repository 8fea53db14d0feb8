async fn web(database: State<Database>) -> Result<Router, Failure> {
    build(database)
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_ROUTES_web: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreRoutes {}
    impl ::agentcore::__private::Routes for __AgentcoreRoutes {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            <State<
                Database,
            > as ::agentcore::__private::HookArgument>::__agentcore_requires(
                __agentcore_requirements,
            );
        }
        fn call(
            __agentcore_call: ::agentcore::__private::HookCall,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Result<
                ::agentcore::__private::RouteService,
                ::agentcore::__private::BoxError,
            >,
        > + ::agentcore::__private::Send + 'static {
            async move {
                let __agentcore_arg0 = match <State<
                    Database,
                > as ::agentcore::__private::HookArgument>::__agentcore_take(
                    &__agentcore_call,
                ) {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(error) => {
                        return ::agentcore::__private::Err(error);
                    }
                };
                ::agentcore::__private::drop(__agentcore_call);
                let __agentcore_returned = (
                    ::agentcore::__private::routes_future_must_be_send(
                            web(__agentcore_arg0),
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
                            ::agentcore::__private::RoutesService::__agentcore_service(
                                __agentcore_value.0,
                            ),
                        )
                    }
                    ::agentcore::__private::Err(error) => {
                        let __agentcore_error = (error,);
                        ::agentcore::__private::Err(
                            ::agentcore::__private::HookError::__agentcore_boxed(
                                __agentcore_error.0,
                            ),
                        )
                    }
                }
            }
        }
    }
    ::agentcore::__private::inventory::submit! {
        ::agentcore::__private::RoutesDef::new:: < __AgentcoreRoutes >
        (::agentcore::__private::Meta::new("web",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()),
        ::agentcore::__private::Package::new(::agentcore::__private::core::option_env!("CARGO_PKG_NAME"),
        ::agentcore::__private::core::option_env!("CARGO_PKG_VERSION"))).port(8081u16)
        .idle(& ["/health", "/assets/*"])
        .timeout(::agentcore::__private::Duration::new(30, 0))
    }
};
