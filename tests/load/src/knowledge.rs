//! What is known of an agent without asking it, and whether its pings agree.
//!
//! Every operation has a span in which it *may* keep the agent busy, and spans in which it *certainly* does:
//!
//! ```text
//!            first byte sent                                     whole reply read
//!  possible  ├──────────────────────────────────────────────────────────┤
//!  certain              ├───────────────────────────────┤
//!                       user code begins (its journal)  user code has ended
//!
//!  timeline  idle ┊?????┊ busy                          ┊???????????????┊ idle
//! ```
//!
//! The agent is certainly busy while at least one operation certainly is, and certainly idle while none possibly is. A
//! ping was answered at *some* moment between its sending and its receipt, so it is compared with the timeline only if
//! one certain state covers all of that time. All other pings count as uncertain. The clock is used only
//! for the order of events on one machine.

use std::collections::BTreeMap;

use crate::clock::{MILLISECOND, Nanos, SECOND};
use crate::ping::Ping;

/// The amount by which the wall clock may be slewed between an event and the ping that reports it. Steps are larger, and are
/// not expected on a machine that is used for measurements.
const SLEW: Nanos = 10 * MILLISECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
}

impl Span {
    /// Both ends are included: at each the state is the same as in between.
    fn covers(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    fn touches(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

impl Ping {
    fn span(&self) -> Span {
        Span {
            from: self.sent,
            to: self.received,
        }
    }
}

/// Spans joined where they touch, in order.
fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            _ => joined.push(span),
        }
    }
    joined
}

/// A time in which the state is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    span: Span,
    busy: bool,
}

/// A change of state: later than `after`, and no later than `by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    after: Nanos,
    by: Nanos,
}

/// One operation that may keep the agent busy.
#[derive(Clone, Debug)]
pub(crate) struct Possible {
    pub(crate) span: Span,
    /// The kind, for the count of pings that depend on one kind of operation alone.
    pub(crate) kind: String,
}

/// The certain states within a time, in order.
#[derive(Debug)]
pub(crate) struct Timeline {
    pieces: Vec<Piece>,
    changes: Vec<Change>,
    possible: Vec<Possible>,
}

impl Timeline {
    /// A timeline of everything that ran within `window`. Nothing ran outside of `certain` and `possible`.
    pub(crate) fn new(window: Span, certain: Vec<Span>, possible: Vec<Possible>) -> Self {
        let busy = union(certain).into_iter();
        let mut pieces: Vec<_> = busy.map(|span| Piece { span, busy: true }).collect();
        let mut idle_from = window.from;
        for span in union(possible.iter().map(|one| one.span).collect()) {
            pieces.extend(idle(idle_from, span.from));
            idle_from = span.to;
        }
        pieces.extend(idle(idle_from, window.to));
        pieces.sort_unstable_by_key(|piece| piece.span);
        let changes = pieces
            .windows(2)
            .filter(|pair| pair[0].busy != pair[1].busy)
            .map(|pair| Change {
                after: pair[0].span.to,
                by: pair[1].span.from,
            })
            .collect();
        Self {
            pieces,
            changes,
            possible,
        }
    }

    /// The piece that covers all of `span`, if the state is certain throughout.
    fn covering(&self, span: Span) -> Option<Piece> {
        let after = self
            .pieces
            .partition_point(|piece| piece.span.from <= span.from);
        let piece = *self.pieces.get(after.checked_sub(1)?)?;
        piece.span.covers(span).then_some(piece)
    }

    /// The last certain change before `moment`.
    fn change_before(&self, moment: Nanos) -> Option<Change> {
        let after = self.changes.partition_point(|change| change.by <= moment);
        self.changes.get(after.checked_sub(1)?).copied()
    }

    /// The kind of the only operation that can have made the agent busy during `span`; `None` if there are several.
    fn alone(&self, span: Span) -> Option<&str> {
        let mut all = self.possible.iter().filter(|one| one.span.touches(span));
        let first = all.next()?;
        all.next().is_none().then_some(first.kind.as_str())
    }

    /// Compares `pings`, which are in order, with what is certain.
    pub(crate) fn judge(&self, pings: &[Ping], verdict: &mut Verdict) {
        let mut before: Option<&Ping> = None;
        for ping in pings {
            let piece = self.covering(ping.span());
            self.judge_status(ping, piece, verdict);
            self.judge_stamp(ping, piece, verdict);
            if let Some(before) = before {
                self.judge_pair(before, ping, verdict);
            }
            before = Some(ping);
        }
    }

    fn judge_status(&self, ping: &Ping, piece: Option<Piece>, verdict: &mut Verdict) {
        let Some(Piece { busy, .. }) = piece else {
            verdict.uncertain += 1;
            return;
        };
        if busy {
            verdict.busy += 1;
            if let Some(kind) = self.alone(ping.span()) {
                *verdict.alone.entry(kind.to_owned()).or_default() += 1;
            }
        } else {
            verdict.idle += 1;
        }
        if ping.busy != busy {
            let wanted = if busy { "busy" } else { "idle" };
            let near = self.near(ping.span());
            verdict.wrong.push(format!(
                "certainly {wanted}, but: {ping:?}; near it: {near}"
            ));
        }
    }

    /// Checks that the stamp is not in the future, not before the last certain change, and not after the begin of the current
    /// state.
    fn judge_stamp(&self, ping: &Ping, piece: Option<Piece>, verdict: &mut Verdict) {
        let unix = |moment: Nanos| (moment + ping.wall_offset) / SECOND;
        let mut latest = unix(ping.received + SLEW);
        if let Some(piece) = piece {
            latest = latest.min(unix(piece.span.from + SLEW));
        }
        let change = self.change_before(ping.sent);
        let earliest = change.map_or(0, |change| unix(change.after - SLEW));
        verdict.stamps += 1;
        if !(earliest..=latest).contains(&ping.stamp) {
            verdict.wrong.push(format!(
                "a stamp that has to be in {earliest}..={latest}: {ping:?}"
            ));
        }
    }

    /// Checks that two pings are equal if the state cannot have changed between them.
    fn judge_pair(&self, before: &Ping, ping: &Ping, verdict: &mut Verdict) {
        let both = Span {
            from: before.sent,
            to: ping.received,
        };
        if self.covering(both).is_none() {
            return;
        }
        verdict.pairs += 1;
        if before.stamp != ping.stamp {
            verdict.wrong.push(format!(
                "a stamp that moved while nothing did: {before:?}, {ping:?}"
            ));
        }
    }

    /// The operations around `span`, for a message.
    fn near(&self, span: Span) -> String {
        let wide = Span {
            from: span.from.saturating_sub(20 * MILLISECOND),
            to: span.to + 20 * MILLISECOND,
        };
        let near = self.possible.iter().filter(|one| one.span.touches(wide));
        let near: Vec<_> = near
            .take(6)
            .map(|one| format!("{} {:?}", one.kind, one.span))
            .collect();
        near.join(", ")
    }
}

/// A certainly idle time.
fn idle(from: Nanos, to: Nanos) -> Option<Piece> {
    (from < to).then_some(Piece {
        span: Span { from, to },
        busy: false,
    })
}

/// The results of comparing pings with timelines.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Pings in times that were certainly busy.
    pub(crate) busy: u64,
    /// Pings in times that were certainly idle.
    pub(crate) idle: u64,
    pub(crate) uncertain: u64,
    /// The busy pings that depend on a single operation, by its kind.
    pub(crate) alone: BTreeMap<String, u64>,
    /// The number of stamps that were compared with their limits.
    pub(crate) stamps: u64,
    /// Pairs of pings between which the stamp had to stand still.
    pub(crate) pairs: u64,
    /// The failures.
    pub(crate) wrong: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Span = Span { from: 0, to: 1000 };

    fn ping(sent: Nanos, received: Nanos, busy: bool, stamp: u64) -> Ping {
        // The times are far from zero, so that no difference is negative.
        Ping {
            sent: sent * SECOND,
            received: received * SECOND,
            busy,
            stamp,
            wall_offset: 0,
        }
    }

    fn span(from: u64, to: u64) -> Span {
        Span {
            from: from * SECOND,
            to: to * SECOND,
        }
    }

    /// One operation: possible from 100 to 200, certain from 110 to 190.
    fn timeline() -> Timeline {
        let possible = Possible {
            span: span(100, 200),
            kind: "task".to_owned(),
        };
        Timeline::new(
            span(WINDOW.from, WINDOW.to),
            vec![span(110, 150), span(140, 190)],
            vec![possible],
        )
    }

    fn judge(pings: &[Ping]) -> Verdict {
        let mut verdict = Verdict::default();
        timeline().judge(pings, &mut verdict);
        verdict
    }

    #[test]
    fn true_pings_are_right() {
        let verdict = judge(&[
            ping(90, 99, false, 0),
            ping(120, 145, true, 105),
            ping(185, 189, true, 105),
            ping(201, 202, false, 195),
        ]);
        assert_eq!(verdict.wrong, <[String; 0]>::default());
        assert_eq!((verdict.busy, verdict.idle, verdict.uncertain), (2, 2, 0));
        assert_eq!(verdict.alone["task"], 2);
        assert_eq!(verdict.pairs, 1);
    }

    #[test]
    fn what_overlaps_a_change_is_uncertain() {
        for (sent, received) in [(99, 101), (105, 106), (109, 111), (189, 191), (195, 205)] {
            for busy in [false, true] {
                let verdict = judge(&[ping(sent, received, busy, 101)]);
                assert_eq!(verdict.uncertain, 1, "{sent}..{received}");
            }
        }
    }

    #[test]
    fn lies_are_found() {
        for lie in [
            ping(120, 121, false, 105),
            ping(300, 301, true, 195),
            // A stamp in the future, one that misses a change, and one of a change that never happened.
            ping(300, 301, false, 302),
            ping(300, 301, false, 180),
            ping(300, 301, false, 201),
        ] {
            assert_eq!(judge(&[lie]).wrong.len(), 1, "{lie:?}");
        }
    }

    #[test]
    fn a_stamp_that_moves_by_itself_is_found() {
        let verdict = judge(&[ping(120, 121, true, 104), ping(130, 131, true, 105)]);
        assert_eq!(verdict.wrong.len(), 1);
    }
}
