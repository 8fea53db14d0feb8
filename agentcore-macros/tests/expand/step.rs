async fn fetch<T: Serialize>(
    url: &str,
    __agentcore_arg1: (u8, u8),
    of: T,
    client: State<Client>,
) -> Result<Audio, Failure> {
    #[allow(unused_mut)]
    let mut __agentcore_key = ::agentcore::__private::StepKey::new("fetch audio");
    ::agentcore::__private::StepArgument::__agentcore_add(&url, &mut __agentcore_key);
    ::agentcore::__private::StepArgument::__agentcore_add(
        &__agentcore_arg1,
        &mut __agentcore_key,
    );
    ::agentcore::__private::StepArgument::__agentcore_add(&of, &mut __agentcore_key);
    let __agentcore_body = async move {
        let url = url;
        let __agentcore_arg1 = __agentcore_arg1;
        let (a, b) = __agentcore_arg1;
        let of = of;
        let client = client;
        {
            if false {
                return ::agentcore::__private::never::<Result<Audio, Failure>>();
            }
            body(url, a, b)
        }
    };
    ::agentcore::__private::keyed_step(__agentcore_key, __agentcore_body).await
}
