//! [`Header`]: one header of a request, as an argument.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::FromStr;

use super::{FromInvocation, Invocation};
use crate::handler::http_error::HttpError;
use crate::headers::is_secret;
use crate::report::Rejection;

/// The name of a header, as a type. [`Header`] has an example.
pub trait NamedHeader {
    /// The header's name. Its case does not matter. A name that HTTP does not allow is a compile error where the
    /// [`Header`] is used.
    const NAME: &'static str;
}

/// A header of the request, as an argument of an entrypoint or a websocket handler.
///
/// `N` is the name of the header, and `T` the type that its text is parsed as. `Option<Header<N, T>>` is for a header that
/// may be missing. A `Header` dereferences to its value.
///
/// | request | `Header<N, T>` | `Option<Header<N, T>>` |
/// | --- | --- | --- |
/// | without the header, or with an empty one | 400 `{"error":"the header `x-limit` is missing"}` | `None` |
/// | with a value that does not parse as `T`, or is not visible ASCII | 400 with the reason | 400 with the reason |
/// | with the header several times | the first | the first |
///
/// ```
/// use agentcore::{Header, NamedHeader, entrypoint};
///
/// struct Tenant;
/// impl NamedHeader for Tenant {
///     const NAME: &'static str = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant";
/// }
///
/// struct Limit;
/// impl NamedHeader for Limit {
///     const NAME: &'static str = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Limit";
/// }
///
/// #[entrypoint(main = false)]
/// async fn handler(question: String, tenant: Header<Tenant>, limit: Option<Header<Limit, usize>>) -> String {
///     let limit = limit.map_or(100, Header::into_inner);
///     let answer = format!("{} asked: {question}", *tenant);
///     answer.chars().take(limit).collect()
/// }
/// ```
///
/// Behind Amazon Bedrock AgentCore Runtime an agent gets only the headers on the runtime's allow-list.
/// [`RequestContext::headers`](crate::RequestContext::headers) has the rules.
/// [`RequestContext::header`](crate::RequestContext::header) reads a header without a type, also outside the handler.
///
/// `Debug` does not show the value of a header whose name indicates a secret, such as `Authorization`. If the value of such a
/// header does not parse, the 400 has no reason, because the error of [`FromStr`] may quote the value.
pub struct Header<N, T = String> {
    value: T,
    name: PhantomData<fn() -> N>,
}

impl<N, T> Header<N, T> {
    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<N, T> Deref for Header<N, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<N, T: Clone> Clone for Header<N, T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            name: PhantomData,
        }
    }
}

impl<N, T: fmt::Display> fmt::Display for Header<N, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<N: NamedHeader, T: fmt::Debug> fmt::Debug for Header<N, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("Header");
        tuple.field(&N::NAME);
        if is_secret(&N::NAME.to_ascii_lowercase()) {
            tuple.field(&format_args!("Sensitive"));
        } else {
            tuple.field(&self.value);
        }
        tuple.finish()
    }
}

impl<N, T> Header<N, T>
where
    N: NamedHeader,
    T: FromStr<Err: fmt::Display>,
{
    const NAME: &'static str = {
        assert!(
            is_name(N::NAME.as_bytes()),
            "`NamedHeader::NAME` is not the name of a header: it may have letters, digits and any of !#$%&'*+-.^_`|~"
        );
        N::NAME
    };

    fn find(invocation: &Invocation) -> Result<Option<Self>, HttpError> {
        let name = Self::NAME;
        let Some(value) = invocation.headers().get(name) else {
            return Ok(None);
        };
        let text = value.to_str().map_err(|_| {
            let message = format!("the header `{name}` is not visible ASCII");
            rejected(message.clone(), message)
        })?;
        if text.is_empty() {
            return Ok(None);
        }
        let value = text.parse().map_err(|error| {
            let message = if is_secret(&name.to_ascii_lowercase()) {
                // The error may quote the value.
                format!("the header `{name}` is not valid")
            } else {
                format!("the header `{name}` is not valid: {error}")
            };
            rejected(message, format!("the header `{name}` is not valid"))
        })?;
        Ok(Some(Self {
            value,
            name: PhantomData,
        }))
    }
}

/// A 400 with `message`. The log gets the `reason`, which names the header and does not quote its value.
fn rejected(message: String, reason: String) -> HttpError {
    HttpError::new(400, message).rejecting(Rejection::new(reason))
}

/// Whether the name is a token of HTTP (RFC 9110, 5.6.2).
const fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        let is_allowed = match name[at] {
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if !is_allowed {
            return false;
        }
        at += 1;
    }
    !name.is_empty()
}

impl<N, T> FromInvocation for Header<N, T>
where
    N: NamedHeader,
    T: FromStr<Err: fmt::Display>,
{
    type Rejection = HttpError;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, HttpError> {
        let missing = || {
            let message = format!("the header `{}` is missing", N::NAME);
            rejected(message.clone(), message)
        };
        Self::find(invocation)?.ok_or_else(missing)
    }
}

impl<N, T> FromInvocation for Option<Header<N, T>>
where
    N: NamedHeader,
    T: FromStr<Err: fmt::Display>,
{
    type Rejection = HttpError;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, HttpError> {
        Header::find(invocation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Authorization;

    impl NamedHeader for Authorization {
        const NAME: &'static str = "Authorization";
    }

    struct Tenant;

    impl NamedHeader for Tenant {
        const NAME: &'static str = "X-Tenant";
    }

    fn header<N>(value: &str) -> Header<N> {
        Header {
            value: value.to_owned(),
            name: PhantomData,
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", header::<Authorization>("hidden"));
        assert_eq!(shown, r#"Header("Authorization", Sensitive)"#);
        let shown = format!("{:?}", header::<Tenant>("acme"));
        assert_eq!(shown, r#"Header("X-Tenant", "acme")"#);
    }

    #[test]
    fn a_name_is_a_token() {
        for name in ["x-tenant", "X-Tenant", "a", "a_b.c~1!"] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for name in ["", "x tenant", "x-tenant:", "caf\u{e9}", "a\nb", "(a)"] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
    }
}
