fn flush() {}
#[allow(non_upper_case_globals)]
const __AGENTCORE_ON_SHUTDOWN_flush: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreOnShutdown {}
    impl ::agentcore::__private::ShutdownHook for __AgentcoreOnShutdown {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {}
        fn call(
            __agentcore_call: ::agentcore::__private::HookCall,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Result<(), ::agentcore::__private::BoxError>,
        > + ::agentcore::__private::Send + 'static {
            async move {
                ::agentcore::__private::drop(__agentcore_call);
                let __agentcore_returned = (
                    ::agentcore::__private::sync_function_runs_on_another_thread(move || flush())
                        .await,
                );
                match (&::agentcore::__private::Probe::of(&__agentcore_returned.0))
                    .__agentcore_outcome()
                    .__agentcore_result(__agentcore_returned.0)
                {
                    ::agentcore::__private::Ok(value) => {
                        let __agentcore_value = (value,);
                        ::agentcore::__private::Ok(
                            ::agentcore::__private::ShutdownReply::__agentcore_done(
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
        ::agentcore::__private::ShutdownDef::new:: < __AgentcoreOnShutdown >
        (::agentcore::__private::Meta::new("flush",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()))
    }
};
