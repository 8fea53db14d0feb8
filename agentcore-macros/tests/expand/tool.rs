/// The weather.
async fn forecast(city: String, context: RequestContext) -> Forecast {
    body(city, context)
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_TOOL_forecast: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreTool {}
    impl ::agentcore::__private::ToolAdapter for __AgentcoreTool {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            (&::agentcore::__private::Probe::<String>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<String>(__agentcore_requirements);
            (&::agentcore::__private::Probe::<RequestContext>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<RequestContext>(__agentcore_requirements);
        }
        fn describe(__agentcore_description: &mut ::agentcore::__private::Schemas) {
            (&&&::agentcore::__private::Probe::<String>::NEW)
                .__agentcore_tool_argument()
                .__agentcore_describe(
                    ::agentcore::__private::Probe::<String>::NEW,
                    __agentcore_description,
                    ::agentcore::__private::Written {
                        name: "city",
                        description: "",
                        default: ::agentcore::__private::Option::None,
                    },
                );
            (&&&::agentcore::__private::Probe::<RequestContext>::NEW)
                .__agentcore_tool_argument()
                .__agentcore_describe(
                    ::agentcore::__private::Probe::<RequestContext>::NEW,
                    __agentcore_description,
                    ::agentcore::__private::Written {
                        name: "context",
                        description: "",
                        default: ::agentcore::__private::Option::None,
                    },
                );
            #[allow(unreachable_code, clippy::diverging_sub_expression)]
            {
                let __agentcore_probe = ::agentcore::__private::Probe::of_async_call(
                    &|| forecast(
                        ::agentcore::__private::never::<String>(),
                        ::agentcore::__private::never::<RequestContext>(),
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
            mut __agentcore_call: ::agentcore::__private::ToolCall,
        ) -> impl ::agentcore::__private::Future<
            Output = ::agentcore::__private::ToolOutcome,
        > + ::agentcore::__private::Send + 'static {
            async move {
                let __agentcore_arg0 = (&&&::agentcore::__private::Probe::<String>::NEW)
                    .__agentcore_tool_argument()
                    .__agentcore_take(
                        ::agentcore::__private::Probe::<String>::NEW,
                        &mut __agentcore_call,
                        "city",
                    );
                let __agentcore_arg1 = (&&&::agentcore::__private::Probe::<
                    RequestContext,
                >::NEW)
                    .__agentcore_tool_argument()
                    .__agentcore_take(
                        ::agentcore::__private::Probe::<RequestContext>::NEW,
                        &mut __agentcore_call,
                        "context",
                    );
                if __agentcore_call.is_refused() {
                    return __agentcore_call.refused();
                }
                let __agentcore_arg0 = match __agentcore_arg0 {
                    ::agentcore::__private::Option::Some(value) => value,
                    ::agentcore::__private::Option::None => {
                        return __agentcore_call.refused();
                    }
                };
                let __agentcore_arg1 = match __agentcore_arg1 {
                    ::agentcore::__private::Option::Some(value) => value,
                    ::agentcore::__private::Option::None => {
                        return __agentcore_call.refused();
                    }
                };
                ::agentcore::__private::drop(__agentcore_call);
                let __agentcore_returned = (
                    ::agentcore::__private::tool_future_must_be_send(
                            forecast(__agentcore_arg0, __agentcore_arg1),
                        )
                        .await,
                );
                match (&::agentcore::__private::Probe::of(&__agentcore_returned.0))
                    .__agentcore_outcome()
                    .__agentcore_result(__agentcore_returned.0)
                {
                    ::agentcore::__private::Ok(value) => {
                        let __agentcore_value = (value,);
                        (&&&::agentcore::__private::Probe::of(&__agentcore_value.0))
                            .__agentcore_tool_reply()
                            .__agentcore_finish(__agentcore_value.0)
                    }
                    ::agentcore::__private::Err(error) => {
                        let __agentcore_error = (error,);
                        ::agentcore::__private::ToolErrorTag
                            .__agentcore_fail(__agentcore_error.0)
                    }
                }
            }
        }
    }
    ::agentcore::__private::inventory::submit! {
        ::agentcore::__private::ToolDef::new:: < __AgentcoreTool >
        (::agentcore::__private::Meta::new("forecast",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()),
        ::agentcore::__private::Package::new(::agentcore::__private::core::option_env!("CARGO_PKG_NAME"),
        ::agentcore::__private::core::option_env!("CARGO_PKG_VERSION")))
        .description("The weather.")
    }
};
