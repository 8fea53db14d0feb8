//! [`OfLength`]: a streamed body with the length that its reply announces.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::BoxError;

/// A body that fails if it is longer or shorter than announced. A client would take what is missing from the next reply.
pub(super) struct OfLength {
    body: UnsyncBoxBody<Bytes, BoxError>,
    announced: u64,
    left: u64,
}

impl OfLength {
    pub(super) fn new(body: UnsyncBoxBody<Bytes, BoxError>, announced: u64) -> Self {
        Self {
            body,
            announced,
            left: announced,
        }
    }

    pub(super) fn announced(&self) -> u64 {
        self.announced
    }

    /// Whether as many bytes have been read as announced.
    pub(super) fn is_whole(&self) -> bool {
        self.left == 0
    }
}

impl http_body::Body for OfLength {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => return Poll::Ready(frame),
            None if self.left == 0 => return Poll::Ready(None),
            None => {
                let missing = std::mem::take(&mut self.left);
                let announced = self.announced;
                let error = format!(
                    "the body ends {missing} bytes short of its `content-length` of {announced}"
                );
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Poll::Ready(frame)
            }
            None => {
                let announced = self.announced;
                let error = format!("the body is longer than its `content-length` of {announced}");
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    async fn collected(announced: u64) -> Result<usize, String> {
        let pieces = ["abc", "de"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(stream_of(pieces)).boxed_unsync();
        let body = OfLength::new(body, announced).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok(body.to_bytes().len())
    }

    /// A stream of items that are ready.
    fn stream_of<T: Unpin>(
        items: impl IntoIterator<Item = T>,
    ) -> impl futures_core::Stream<Item = T> {
        crate::stream! {
            for item in items {
                yield item;
            }
        }
    }

    #[tokio::test]
    async fn a_body_has_the_announced_length_or_fails() {
        assert_eq!(collected(5).await, Ok(5));
        let longer = "the body is longer than its `content-length` of 4";
        assert_eq!(collected(4).await, Err(longer.to_owned()));
        let shorter = "the body ends 2 bytes short of its `content-length` of 7";
        assert_eq!(collected(7).await, Err(shorter.to_owned()));
    }
}
