async fn handler(event: Value) -> Value {
    event
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_ENTRYPOINT_handler: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreEntrypoint {}
    impl ::agentcore::__private::Entrypoint for __AgentcoreEntrypoint {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            (&::agentcore::__private::Probe::<Value>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<Value>(__agentcore_requirements);
        }
        fn describe(__agentcore_description: &mut ::agentcore::__private::Schemas) {
            (&&&&::agentcore::__private::Probe::<Value>::NEW)
                .__agentcore_payload_schema()
                .__agentcore_describe(
                    ::agentcore::__private::Probe::<Value>::NEW,
                    __agentcore_description,
                );
            #[allow(unreachable_code, clippy::diverging_sub_expression)]
            {
                let __agentcore_probe = ::agentcore::__private::Probe::of_async_call(
                    &|| handler(::agentcore::__private::never::<Value>()),
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
                    Value,
                >::NEW)
                    .__agentcore_argument()
                    .__agentcore_extract(
                        ::agentcore::__private::Probe::<Value>::NEW,
                        &mut __agentcore_invocation,
                    )
                {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(rejection) => return rejection,
                };
                ::agentcore::__private::drop(__agentcore_invocation);
                let __agentcore_returned = (
                    ::agentcore::__private::entrypoint_future_must_be_send(
                            handler(__agentcore_arg0),
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
    const __AGENTCORE_MAIN_IS_AT_THE_ROOT: () = if ::agentcore::__private::is_in_a_module(
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::option_env!("CARGO_BIN_NAME"),
    ) {
        ::agentcore::__private::core::panic!(
            "{}",
            "`#[agentcore::entrypoint]` generates `main`, which must be at the root of the program, but this is a module\n\nhelp: write `#[agentcore::entrypoint(main = false)]` here, and start the agent at the root:\n\n    fn main() -> std::process::ExitCode {\n        agentcore::run()\n    }\n"
        )
    };
    ::agentcore::__private::inventory::submit! {
        ::agentcore::__private::EntrypointDef::new:: < __AgentcoreEntrypoint >
        (::agentcore::__private::Meta::new("handler",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()),
        ::agentcore::__private::Package::new(::agentcore::__private::core::option_env!("CARGO_PKG_NAME"),
        ::agentcore::__private::core::option_env!("CARGO_PKG_VERSION")))
    }
};
fn main() -> ::agentcore::__private::ExitCode {
    ::agentcore::__private::main()
}
