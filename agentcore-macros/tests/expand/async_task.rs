fn index<'_path>(
    path: &'_path Path,
) -> impl ::agentcore::__private::Future<
    Output = (),
> + ::agentcore::__private::Captures<'_path> {
    const _: () = {
        ::agentcore::__private::inventory::submit! {
            ::agentcore::__private::TaskDef::new(::agentcore::__private::Meta::new("index",
            ::agentcore::__private::core::module_path!(),
            ::agentcore::__private::core::file!(),
            ::agentcore::__private::core::line!()))
        }
    };
    let __agentcore_guard = ::agentcore::__private::track("index");
    let __agentcore_future = async move {
        let path = path;
        {
            if false {
                return ::agentcore::__private::never::<()>();
            }
            body(path)
        }
    };
    let __agentcore_error_text = {
        use ::agentcore::__private::probes::*;
        (&&&::agentcore::__private::Probe::of_output(&__agentcore_future))
            .__agentcore_error_text()
    };
    ::agentcore::__private::tracked(__agentcore_guard, __agentcore_future)
        .with_error_text(__agentcore_error_text)
}
