#[inline]
#[allow(clippy::all)]
pub unsafe fn task<'a, T: Clone, const N: usize>(
    &'a mut self,
    name: T,
    #[cfg(unix)]
    __agentcore_arg2: ([u8; N], u8),
    __agentcore_arg3: impl Into<String>,
) -> impl ::agentcore::__private::Future<
    Output = Result<impl Iterator<Item = &'a T>, BoxError>,
> + ::agentcore::__private::Captures<'a>
where
    T: Send,
{
    const _: () = {
        ::agentcore::__private::inventory::submit! {
            ::agentcore::__private::TaskDef::new(::agentcore::__private::Meta::new("the task",
            ::agentcore::__private::core::module_path!(),
            ::agentcore::__private::core::file!(),
            ::agentcore::__private::core::line!()))
        }
    };
    let __agentcore_guard = ::agentcore::__private::track("the task");
    let __agentcore_future = ::agentcore::__private::time_limited(
        ::agentcore::__private::Duration::new(7200, 0),
        ::agentcore::__private::timed_out::<
            Result<_, BoxError>,
            _,
        >(::agentcore::__private::FromTimedOut::from_timed_out),
        async move {
            let _ = &self;
            let mut name = name;
            #[cfg(unix)]
            let __agentcore_arg2 = __agentcore_arg2;
            #[cfg(unix)]
            #[expect(unused_variables)]
            let (left, _) = __agentcore_arg2;
            let __agentcore_arg3 = __agentcore_arg3;
            let _ = __agentcore_arg3;
            {
                if false {
                    return ::agentcore::__private::never::<Result<_, BoxError>>();
                }
                body(name)
            }
        },
    );
    let __agentcore_error_text = {
        use ::agentcore::__private::probes::*;
        (&&&::agentcore::__private::Probe::of_output(&__agentcore_future))
            .__agentcore_error_text()
    };
    ::agentcore::__private::tracked(__agentcore_guard, __agentcore_future)
        .with_error_text(__agentcore_error_text)
}
