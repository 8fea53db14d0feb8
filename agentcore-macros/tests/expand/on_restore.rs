fn reconnect(State(pool): State<Pool>) {}
#[allow(non_upper_case_globals)]
const __AGENTCORE_ON_RESTORE_reconnect: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreOnRestore {}
    impl ::agentcore::__private::PlatformHook for __AgentcoreOnRestore {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            <State<
                Pool,
            > as ::agentcore::__private::HookArgument>::__agentcore_requires(
                __agentcore_requirements,
            );
        }
        fn call(
            __agentcore_call: ::agentcore::__private::HookCall,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Result<(), ::agentcore::__private::BoxError>,
        > + ::agentcore::__private::Send + 'static {
            async move {
                let __agentcore_arg0 = match <State<
                    Pool,
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
                    ::agentcore::__private::sync_function_runs_on_another_thread(move || reconnect(
                            __agentcore_arg0,
                        ))
                        .await,
                );
                match (&::agentcore::__private::Probe::of(&__agentcore_returned.0))
                    .__agentcore_outcome()
                    .__agentcore_result(__agentcore_returned.0)
                {
                    ::agentcore::__private::Ok(value) => {
                        let __agentcore_value = (value,);
                        ::agentcore::__private::Ok(
                            ::agentcore::__private::PlatformReply::__agentcore_done(
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
        ::agentcore::__private::RestoreDef::new:: < __AgentcoreOnRestore >
        (::agentcore::__private::Meta::new("reconnect",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()))
    }
};
