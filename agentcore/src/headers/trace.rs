//! The trace that a request belongs to, from its headers: W3C's `traceparent`, or X-Ray's `X-Amzn-Trace-Id`.

/// The caller's span, which a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteSpan {
    /// Never 0.
    pub(crate) trace: u128,
    /// `None` if the header names only the trace, as X-Ray's may.
    pub(crate) span: Option<u64>,
    /// Whether the caller records the trace; `None` if the header leaves that to the receiver.
    pub(crate) sampled: Option<bool>,
}

impl RemoteSpan {
    /// Reads both headers. W3C's wins over X-Ray's, as in AWS's own distribution.
    pub(crate) fn of(traceparent: Option<&str>, x_amzn_trace_id: Option<&str>) -> Option<Self> {
        let w3c = traceparent.and_then(Self::of_traceparent);
        w3c.or_else(|| x_amzn_trace_id.and_then(Self::of_x_amzn_trace_id))
    }

    /// Reads `00-<trace>-<span>-<flags>`. A later version may append more.
    pub(crate) fn of_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut next = || parts.next();
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        let is_well_formed = match (hex(version, 2)?, next()) {
            (0xff, _) => false,
            (0, rest) => rest.is_none(),
            _ => true,
        };
        let span = hex(span, 16)? as u64;
        let flags = hex(flags, 2)?;
        let found = Self {
            trace: hex(trace, 32)?,
            span: Some(span),
            sampled: Some(flags & 1 == 1),
        };
        (is_well_formed && found.trace != 0 && span != 0).then_some(found)
    }

    /// Reads `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=<0, 1 or ?>`, in any order. Other parts are ignored.
    pub(crate) fn of_x_amzn_trace_id(text: &str) -> Option<Self> {
        let mut found = Self {
            trace: 0,
            span: None,
            sampled: None,
        };
        for (key, value) in text.split(';').filter_map(|part| part.split_once('=')) {
            match (key.trim(), value.trim()) {
                ("Root", root) => {
                    let (time, random) = root.strip_prefix("1-")?.split_once('-')?;
                    found.trace = hex(time, 8)? << 96 | hex(random, 24)?;
                }
                ("Parent", span) => {
                    found.span = hex(span, 16).map(|span| span as u64).filter(|&id| id != 0);
                }
                ("Sampled", "0") => found.sampled = Some(false),
                ("Sampled", "1") => found.sampled = Some(true),
                _ => {}
            }
        }
        (found.trace != 0).then_some(found)
    }
}

/// Parses exactly `count` lower-case digits. `from_str_radix` alone would accept signs.
fn hex(digits: &str, count: usize) -> Option<u128> {
    let are_digits = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != count || !are_digits {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

    #[test]
    fn a_traceparent_is_read() {
        let read = RemoteSpan::of_traceparent;
        let sampled = |sampled| {
            Some(RemoteSpan {
                trace: TRACE,
                span: Some(SPAN),
                sampled: Some(sampled),
            })
        };
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";
        assert_eq!(read(&format!("{text}1")), sampled(true));
        assert_eq!(read(&format!("{text}0")), sampled(false));
        // What a later version appends is ignored. Nothing may follow version 00.
        assert_eq!(
            read(&format!("{}1-more", text.replacen("00", "cc", 1))),
            sampled(true)
        );
        assert_eq!(read(&format!("{text}1-more")), None);
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_x_amzn_trace_id_is_read() {
        let read = RemoteSpan::of_x_amzn_trace_id;
        let root = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";
        let expected = |span, sampled| {
            Some(RemoteSpan {
                trace: TRACE,
                span,
                sampled,
            })
        };
        let parent = "Parent=00f067aa0ba902b7";
        assert_eq!(
            read(&format!("{root};{parent};Sampled=1;Lineage=a:0")),
            expected(Some(SPAN), Some(true))
        );
        assert_eq!(
            read(&format!("Self=1-2-3; Sampled=0 ;{parent};{root}")),
            expected(Some(SPAN), Some(false))
        );
        assert_eq!(
            read(&format!("{root};Sampled=?")),
            expected(None, None),
            "the decision is ours"
        );
        for wrong in [
            "",
            "Parent=00f067aa0ba902b7",
            "Root=2-4bf92f35-77b3",
            "Root=1-0-0",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_w3c_header_wins_unless_it_is_broken() {
        let x_ray = Some("Root=1-00000000-000000000000000000000007");
        let trace = |traceparent| RemoteSpan::of(Some(traceparent), x_ray).unwrap().trace;
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace(good), TRACE);
        assert_eq!(trace("00-broken"), 7);
        assert_eq!(RemoteSpan::of(None, None), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = RemoteSpan::of_traceparent(&text);
            let _ = RemoteSpan::of_x_amzn_trace_id(&text);
        }

        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled));
            let expected = RemoteSpan { trace, span: Some(span), sampled: Some(sampled) };
            prop_assert_eq!(RemoteSpan::of_traceparent(&text), Some(expected));
        }
    }
}
