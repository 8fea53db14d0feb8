async fn health(#[cfg(queue)] queue: State<Queue>, automatic: PingStatus) -> PingStatus {
    automatic
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_PING_health: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcorePing {}
    impl ::agentcore::__private::PingHandler for __AgentcorePing {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            #[cfg(queue)]
            <State<
                Queue,
            > as ::agentcore::__private::PingArgument>::__agentcore_requires(
                __agentcore_requirements,
            );
            <PingStatus as ::agentcore::__private::PingArgument>::__agentcore_requires(
                __agentcore_requirements,
            );
        }
        fn call(
            __agentcore_call: ::agentcore::__private::HookCall,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Result<
                ::agentcore::__private::PingStatus,
                ::agentcore::__private::BoxError,
            >,
        > + ::agentcore::__private::Send + 'static {
            async move {
                #[cfg(queue)]
                let __agentcore_arg0 = match <State<
                    Queue,
                > as ::agentcore::__private::PingArgument>::__agentcore_take(
                    &__agentcore_call,
                ) {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(error) => {
                        return ::agentcore::__private::Err(error);
                    }
                };
                let __agentcore_arg1 = match <PingStatus as ::agentcore::__private::PingArgument>::__agentcore_take(
                    &__agentcore_call,
                ) {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(error) => {
                        return ::agentcore::__private::Err(error);
                    }
                };
                ::agentcore::__private::drop(__agentcore_call);
                let __agentcore_returned = (
                    ::agentcore::__private::ping_future_must_be_send(
                            health(#[cfg(queue)] __agentcore_arg0, __agentcore_arg1),
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
                            ::agentcore::__private::PingReply::__agentcore_status(
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
        ::agentcore::__private::PingDef::new:: < __AgentcorePing >
        (::agentcore::__private::Meta::new("health",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()))
    }
};
