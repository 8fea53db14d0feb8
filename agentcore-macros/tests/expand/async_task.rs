fn index(path: &Path) -> impl ::agentcore::__private::Future<Output = ()> {
    const _: () = {
        ::agentcore::__private::inventory::submit! {
            ::agentcore::__private::TaskDef::new(::agentcore::__private::Meta::new("index",
            ::agentcore::__private::core::module_path!(),
            ::agentcore::__private::core::file!(),
            ::agentcore::__private::core::line!()))
        }
    };
    ::agentcore::__private::tracked(
        ::agentcore::__private::track("index"),
        async move {
            let path = path;
            {
                if false {
                    return ::agentcore::__private::never::<()>();
                }
                body(path)
            }
        },
    )
}
