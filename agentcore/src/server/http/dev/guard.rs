//! The check whether a request comes from this machine's own pages.
//!
//! A browser lets any web page send requests to `localhost`. If the page's own name resolves to this machine (DNS
//! rebinding), the page can read the answers too. A page cannot forge either name: `Host` has the name that was requested,
//! `Origin` the page's own.

use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, header};

use crate::server::http::exchange::Admission;

/// Why a request is refused, if it is. The paths of the dev `page` refuse every other page, even one of this machine.
pub(super) fn refusal<B>(
    request: &Request<B>,
    admission: Admission,
    page: bool,
) -> Option<&'static str> {
    if admission == Admission::Foreign {
        return Some("AGENTCORE_DEV is on: only requests from this machine are answered");
    }
    let Some(host) = host(request) else {
        return Some("AGENTCORE_DEV is on: the host has to be localhost or a loopback address");
    };
    let is_ours = |origin: &HeaderValue| {
        let Some(origin) = authority(origin, |text| text.split_once("://")?.1.into()) else {
            return false;
        };
        origin == host || !page && is_loopback(&origin)
    };
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    if !origins.all(is_ours) {
        return Some("AGENTCORE_DEV is on: requests from pages of this origin are refused");
    }
    None
}

/// The requested host, if there is exactly one and it is this machine.
fn host<B>(request: &Request<B>) -> Option<Authority> {
    let said = single(request.headers())?;
    let host = authority(said, Some).filter(is_loopback)?;
    // An absolute URI as the request target names a host too.
    let target = request.uri().authority();
    target.is_none_or(is_loopback).then_some(host)
}

fn single(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut hosts = headers.get_all(header::HOST).iter();
    hosts.next().filter(|_| hosts.next().is_none())
}

fn authority<'a>(
    value: &'a HeaderValue,
    part: impl FnOnce(&'a str) -> Option<&'a str>,
) -> Option<Authority> {
    part(value.to_str().ok()?)?.parse().ok()
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = || {
        let address: Result<IpAddr, _> = address.parse();
        address.is_ok_and(|address| address.to_canonical().is_loopback())
    };
    !authority.as_str().contains('@') && (host.eq_ignore_ascii_case("localhost") || is_address())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, headers: &[(&str, &str)], page: bool) -> bool {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        refusal(&request, Admission::Full, page).is_some()
    }

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:80",
            "127.9.8.7",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]:8080",
        ] {
            assert!(!refused("/", &[("host", host)], true), "{host}");
        }
        for host in [
            "",
            "agent",
            "evil.example:8080",
            "localhost.evil.example",
            "localhost.",
            "0.0.0.0:8080",
            "10.0.0.1",
            "[::]",
            "localhost@evil.example",
            "x;y@localhost",
            "localhost:80:80",
            "localhost evil",
            "local\u{e9}host",
        ] {
            assert!(refused("/", &[("host", host)], true), "{host}");
        }
        assert!(refused("/", &[], true));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert!(refused("/", &twice, true));
        let host = [("host", "localhost")];
        assert!(!refused("http://localhost/", &host, true));
        assert!(refused("http://evil.example/", &host, true));
    }

    #[test]
    fn the_page_answers_itself_and_the_agent_its_neighbours_too() {
        let cases = [
            ("http://localhost:8080", false, false),
            ("http://localhost:3000", true, false),
            ("http://[::1]:3000", true, false),
            ("http://127.0.0.1:8080", true, false),
            ("https://evil.example", true, true),
            ("http://localhost.evil.example:8080", true, true),
            ("null", true, true),
            ("localhost:8080", true, true),
            ("", true, true),
        ];
        for (origin, page, agent) in cases {
            let headers = [("host", "localhost:8080"), ("origin", origin)];
            assert_eq!(refused("/", &headers, true), page, "{origin}");
            assert_eq!(refused("/", &headers, false), agent, "{origin}");
        }
    }
}
