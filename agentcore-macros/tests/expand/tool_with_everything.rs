/// Documented.
///
/// In two paragraphs.
pub(crate) fn forecast(
    city: City,
    #[cfg(days)]
    mut days: u8,
    r#type: Kind,
    State(pool): State<Pool>,
) -> Result<Forecast, Failure> {
    body(city, days)
}
#[allow(non_upper_case_globals)]
const __AGENTCORE_TOOL_forecast: () = {
    use ::agentcore::__private::probes::*;
    enum __AgentcoreTool {}
    impl ::agentcore::__private::ToolAdapter for __AgentcoreTool {
        fn requires(
            __agentcore_requirements: &mut ::agentcore::__private::Requirements,
        ) {
            (&::agentcore::__private::Probe::<City>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<City>(__agentcore_requirements);
            #[cfg(days)]
            (&::agentcore::__private::Probe::<u8>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<u8>(__agentcore_requirements);
            (&::agentcore::__private::Probe::<Kind>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<Kind>(__agentcore_requirements);
            (&::agentcore::__private::Probe::<State<Pool>>::NEW)
                .__agentcore_argument()
                .__agentcore_requires::<State<Pool>>(__agentcore_requirements);
        }
        fn describe(__agentcore_description: &mut ::agentcore::__private::Schemas) {
            (&&&::agentcore::__private::Probe::<City>::NEW)
                .__agentcore_tool_argument()
                .__agentcore_name(
                    ::agentcore::__private::Probe::<City>::NEW,
                    __agentcore_description,
                    ::agentcore::__private::Written {
                        name: "city",
                        description: "Where.",
                        default: ::agentcore::__private::Option::None,
                    },
                );
            #[cfg(days)]
            (&&&::agentcore::__private::Probe::<u8>::NEW)
                .__agentcore_tool_argument()
                .__agentcore_name(
                    ::agentcore::__private::Probe::<u8>::NEW,
                    __agentcore_description,
                    ::agentcore::__private::Written {
                        name: "days",
                        description: "",
                        default: ::agentcore::__private::Option::Some(
                            (&&::agentcore::__private::Probe::<u8>::NEW)
                                .__agentcore_shown((|| -> u8 { 3 }) as fn() -> u8),
                        ),
                    },
                );
            (&&&::agentcore::__private::Probe::<Kind>::NEW)
                .__agentcore_tool_argument()
                .__agentcore_name(
                    ::agentcore::__private::Probe::<Kind>::NEW,
                    __agentcore_description,
                    ::agentcore::__private::Written {
                        name: "type",
                        description: "",
                        default: ::agentcore::__private::Option::Some(
                            (&&::agentcore::__private::Probe::<Kind>::NEW)
                                .__agentcore_shown(
                                    (|| -> Kind {
                                        ::agentcore::__private::core::default::Default::default()
                                    }) as fn() -> Kind,
                                ),
                        ),
                    },
                );
            (&&&::agentcore::__private::Probe::<State<Pool>>::NEW)
                .__agentcore_tool_argument()
                .__agentcore_name(
                    ::agentcore::__private::Probe::<State<Pool>>::NEW,
                    __agentcore_description,
                    ::agentcore::__private::Written {
                        name: "",
                        description: "",
                        default: ::agentcore::__private::Option::None,
                    },
                );
            #[allow(unreachable_code, clippy::diverging_sub_expression)]
            {
                let __agentcore_probe = ::agentcore::__private::Probe::of_call(
                    &|| forecast(
                        ::agentcore::__private::never::<City>(),
                        #[cfg(days)]
                        ::agentcore::__private::never::<u8>(),
                        ::agentcore::__private::never::<Kind>(),
                        ::agentcore::__private::never::<State<Pool>>(),
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
                let __agentcore_arg0 = (&&&::agentcore::__private::Probe::<City>::NEW)
                    .__agentcore_tool_argument()
                    .__agentcore_take(
                        ::agentcore::__private::Probe::<City>::NEW,
                        &mut __agentcore_call,
                        "city",
                    );
                #[cfg(days)]
                let __agentcore_arg1 = (&&&::agentcore::__private::Probe::<u8>::NEW)
                    .__agentcore_tool_argument()
                    .__agentcore_take_or(
                        ::agentcore::__private::Probe::<u8>::NEW,
                        &mut __agentcore_call,
                        "days",
                        (|| -> u8 { 3 }) as fn() -> u8,
                    );
                let __agentcore_arg2 = (&&&::agentcore::__private::Probe::<Kind>::NEW)
                    .__agentcore_tool_argument()
                    .__agentcore_take_or(
                        ::agentcore::__private::Probe::<Kind>::NEW,
                        &mut __agentcore_call,
                        "type",
                        (|| -> Kind {
                            ::agentcore::__private::core::default::Default::default()
                        }) as fn() -> Kind,
                    );
                let __agentcore_arg3 = (&&&::agentcore::__private::Probe::<
                    State<Pool>,
                >::NEW)
                    .__agentcore_tool_argument()
                    .__agentcore_take(
                        ::agentcore::__private::Probe::<State<Pool>>::NEW,
                        &mut __agentcore_call,
                        "",
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
                #[cfg(days)]
                let __agentcore_arg1 = match __agentcore_arg1 {
                    ::agentcore::__private::Option::Some(value) => value,
                    ::agentcore::__private::Option::None => {
                        return __agentcore_call.refused();
                    }
                };
                let __agentcore_arg2 = match __agentcore_arg2 {
                    ::agentcore::__private::Option::Some(value) => value,
                    ::agentcore::__private::Option::None => {
                        return __agentcore_call.refused();
                    }
                };
                let __agentcore_arg3 = match __agentcore_arg3 {
                    ::agentcore::__private::Option::Some(value) => value,
                    ::agentcore::__private::Option::None => {
                        return __agentcore_call.refused();
                    }
                };
                ::agentcore::__private::drop(__agentcore_call);
                let __agentcore_returned = (
                    ::agentcore::__private::sync_function_runs_on_another_thread(move || forecast(
                            __agentcore_arg0,
                            #[cfg(days)]
                            __agentcore_arg1,
                            __agentcore_arg2,
                            __agentcore_arg3,
                        ))
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
    #[cfg(days)]
    const _: () = if !::agentcore::__private::Probe::<u8>::__AGENTCORE_IS_PAYLOAD {
        ::agentcore::__private::core::panic!(
            "{}",
            "`u8` is made from the request, and is no argument of a tool; it takes no `#[default]`"
        )
    };
    const _: () = if !::agentcore::__private::Probe::<Kind>::__AGENTCORE_IS_PAYLOAD {
        ::agentcore::__private::core::panic!(
            "{}",
            "`Kind` is made from the request, and is no argument of a tool; it takes no `#[default]`"
        )
    };
    const _: () = if ::agentcore::__private::Probe::<
        State<Pool>,
    >::__AGENTCORE_IS_PAYLOAD {
        ::agentcore::__private::core::panic!(
            "{}",
            "an argument of a tool needs a name, by which clients give it; `State<Pool>` stands behind a pattern\n\nhelp: take it by a name, and take it apart in the body of the function"
        )
    };
    ::agentcore::__private::inventory::submit! {
        ::agentcore::__private::ToolDef::new:: < __AgentcoreTool >
        (::agentcore::__private::Meta::new("weather",
        ::agentcore::__private::core::module_path!(),
        ::agentcore::__private::core::file!(), ::agentcore::__private::core::line!()),
        ::agentcore::__private::Package::new(::agentcore::__private::core::option_env!("CARGO_PKG_NAME"),
        ::agentcore::__private::core::option_env!("CARGO_PKG_VERSION"))).title("Weather")
        .description("Documented.\n\nIn two paragraphs.").read_only(true)
        .destructive(false).idempotent(true).open_world(false)
        .timeout(::agentcore::__private::Duration::new(5, 0)).task(1)
        .schema("weather.json",
        ::agentcore::__private::core::include_str!("weather.json"))
    }
};
