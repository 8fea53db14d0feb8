async fn connect(State(url): State<Url>) -> Result<Database, Failure> {
    Database::connect(url).await
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_ON_START_connect: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreOnStart {}
    impl ::agentcore::__private::StartHook for __AgentcoreOnStart {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            <State<
                Url,
            > as ::agentcore::__private::HookArgument>::__agentcore_requires(
                __agentcore_requirements,
            );
        }
        fn provides() -> ::agentcore::__private::Option<
            (::agentcore::__private::TypeId, &'static ::agentcore::__private::str),
        > {
            let returned = ::agentcore::__private::Probe::<
                Result<Database, Failure>,
            >::NEW;
            let value = (&returned).__agentcore_outcome().__agentcore_value(returned);
            (&value).__agentcore_state().__agentcore_provides(value)
        }
        fn call(
            __agentcore_call: ::agentcore::__private::HookCall,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Result<
                ::agentcore::__private::StateSlot,
                ::agentcore::__private::BoxError,
            >,
        > + ::agentcore::__private::Send + 'static {
            async move {
                let __agentcore_arg0 = match <State<
                    Url,
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
                    ::agentcore::__private::start_hook_future_must_be_send(
                            connect(__agentcore_arg0),
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
                            (&::agentcore::__private::Probe::of(&__agentcore_value.0))
                                .__agentcore_state()
                                .__agentcore_slot(__agentcore_value.0),
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
        ::agentcore::__private::StartDef::new:: < __AgentcoreOnStart >
        (::agentcore::__private::Meta::new("connect",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()))
        .timeout(::agentcore::__private::Duration::new(1, 500000000))
    }
};
