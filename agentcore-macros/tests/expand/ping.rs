async fn health() -> PingStatus {
    PingStatus::Healthy
}
const _: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcorePing {}
    impl ::agentcore::__private::PingHandler for __AgentcorePing {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {}
        fn call(
            __agentcore_call: ::agentcore::__private::HookCall,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Result<
                ::agentcore::__private::PingStatus,
                ::agentcore::__private::BoxError,
            >,
        > + ::agentcore::__private::Send + 'static {
            async move {
                ::agentcore::__private::drop(__agentcore_call);
                let __agentcore_returned = (
                    ::agentcore::__private::ping_future_must_be_send(health()).await,
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
