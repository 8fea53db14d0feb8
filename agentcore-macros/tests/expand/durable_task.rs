fn transcribe(
    url: String,
) -> ::agentcore::__private::Durable<
    <Result<Report, BoxError> as ::agentcore::__private::DurableOutput>::Value,
> {
    async fn __agentcore_task(
        url: String,
        database: State<Database>,
    ) -> Result<Report, BoxError> {
        body(url, database)
    }
    enum __AgentcoreDurable {}
    impl ::agentcore::__private::DurableTask for __AgentcoreDurable {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            let _ = &__agentcore_requirements;
            <State<
                Database,
            > as ::agentcore::__private::RunArgument>::__agentcore_requires(
                __agentcore_requirements,
            );
        }
        fn run(
            mut __agentcore_run: ::agentcore::__private::DurableRun,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::Result<
                ::agentcore::__private::Encoded,
                ::agentcore::__private::RunFailure,
            >,
        > + ::agentcore::__private::Send + 'static {
            async move {
                let _ = &mut __agentcore_run;
                let __agentcore_arg0 = match <String as ::agentcore::__private::StoredArgument>::__agentcore_take(
                    &mut __agentcore_run,
                    "url",
                ) {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(failure) => {
                        return ::agentcore::__private::Err(failure);
                    }
                };
                let __agentcore_arg1 = match <State<
                    Database,
                > as ::agentcore::__private::RunArgument>::__agentcore_take(
                    &mut __agentcore_run,
                ) {
                    ::agentcore::__private::Ok(value) => value,
                    ::agentcore::__private::Err(failure) => {
                        return ::agentcore::__private::Err(failure);
                    }
                };
                ::agentcore::__private::drop(__agentcore_run);
                match <Result<
                    Report,
                    BoxError,
                > as ::agentcore::__private::DurableOutput>::__agentcore_into_result(
                    ::agentcore::__private::durable_task_future_must_be_send(
                            __agentcore_task(__agentcore_arg0, __agentcore_arg1),
                        )
                        .await,
                ) {
                    ::agentcore::__private::Ok(value) => {
                        let __agentcore_value = (value,);
                        ::agentcore::__private::StoredValue::__agentcore_encode(
                            __agentcore_value.0,
                        )
                    }
                    ::agentcore::__private::Err(error) => {
                        let __agentcore_error = (error,);
                        ::agentcore::__private::Err(
                            ::agentcore::__private::TaskFailure::__agentcore_failure(
                                __agentcore_error.0,
                            ),
                        )
                    }
                }
            }
        }
    }
    const __AGENTCORE_DURABLE: ::agentcore::__private::DurableDef = ::agentcore::__private::DurableDef::new::<
        __AgentcoreDurable,
    >(
        ::agentcore::__private::Meta::new(
            "transcribe",
            ::agentcore::__private::core::module_path!(),
            ::agentcore::__private::core::file!(),
            ::agentcore::__private::core::line!(),
        ),
    );
    const _: () = {
        ::agentcore::__private::inventory::submit! {
            __AGENTCORE_DURABLE
        }
    };
    #[allow(unused_mut)]
    let mut __agentcore_arguments = ::agentcore::__private::Arguments::new();
    <String as ::agentcore::__private::StoredArgument>::__agentcore_store(
        &url,
        "url",
        &mut __agentcore_arguments,
    );
    ::agentcore::__private::durable(__AGENTCORE_DURABLE, __agentcore_arguments)
}
