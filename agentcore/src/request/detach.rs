//! Detaching a reply from the code that made it.
//!
//! [`Bytes`] can have an owner of any type, and the drop of the last clone drops that owner. The front drops what it has sent.
//! So the workers detach every buffer of a reply before they hand it over: a small one is copied, and a large one is wrapped
//! so that the workers drop it. Header values are `Bytes` as well, and small.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

use super::activity::Activity;
use super::drops::DropOnWorkers;
use super::local;
use crate::report::panics;

/// Buffers of up to this length, in bytes, are copied. Such a copy costs less than a task that drops the original.
const COPIED: usize = 16 * 1024;

/// Buffers from this length on, in bytes, are freed on the workers, whatever they are made of. Freeing 1 GB takes some 80 ms,
/// and the front would answer no ping meanwhile.
pub(crate) const FREED_ON_WORKERS: usize = 1 << 20;

/// Header values that most replies have.
const COMMON: [HeaderValue; 4] = [
    HeaderValue::from_static("application/json"),
    HeaderValue::from_static("text/event-stream"),
    HeaderValue::from_static("no-cache"),
    HeaderValue::from_static("text/plain; charset=utf-8"),
];

/// A large buffer, and the invocation that it belongs to.
struct Large(DropOnWorkers<(Bytes, Option<Activity>)>);

impl Large {
    fn wrap(bytes: Bytes) -> Bytes {
        // The invocation is in progress until its buffer has been dropped.
        let value = (bytes, local::hold());
        Bytes::from_owner(Self(DropOnWorkers::new(value, "a buffer of a reply")))
    }
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        self.0.get().map_or(&[], |(bytes, _)| bytes)
    }
}

/// Detaches bytes of any origin. Runs on a worker.
pub(crate) fn bytes(bytes: Bytes) -> Bytes {
    if bytes.len() > COPIED {
        return Large::wrap(bytes);
    }
    let copy = Bytes::copy_from_slice(&bytes);
    panics::drop_caught(bytes, "a buffer of a reply");
    copy
}

/// Detaches bytes that are known to be plain memory, such as a serialised reply. Runs on a worker.
pub(crate) fn memory(bytes: Bytes) -> Bytes {
    if bytes.len() >= FREED_ON_WORKERS {
        Large::wrap(bytes)
    } else {
        bytes
    }
}

/// Detaches one frame of a streamed reply. Runs on a worker.
pub(crate) fn frame(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_data() {
        Ok(data) => Frame::data(bytes(data)),
        Err(frame) => match frame.into_trailers() {
            Ok(mut trailers) => {
                headers(&mut trailers);
                Frame::trailers(trailers)
            }
            // A frame is either data or trailers.
            Err(_) => Frame::data(Bytes::new()),
        },
    }
}

/// Detaches one frame that is plain memory. Runs on a worker.
pub(crate) fn frame_of_memory(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.data_ref() {
        Some(data) if data.len() >= FREED_ON_WORKERS => frame.map_data(memory),
        _ => frame,
    }
}

/// Detaches the values of headers. Names need no detaching: `http` always copies them. Runs on a worker.
pub(crate) fn headers(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let mut detached = match COMMON.iter().find(|common| *common == value) {
            Some(common) => common.clone(),
            // `from_bytes` cannot fail here: the bytes are those of a valid value.
            None => HeaderValue::from_bytes(value.as_bytes())
                .unwrap_or_else(|_| HeaderValue::from_static("")),
        };
        detached.set_sensitive(value.is_sensitive());
        let original = std::mem::replace(value, detached);
        panics::drop_caught(original, "a header of a reply");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    /// Bytes that report which thread drops them.
    struct Owner(Vec<u8>, mpsc::Sender<ThreadId>);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            let _ = self.1.send(thread::current().id());
        }
    }

    fn owned(length: usize) -> (Bytes, mpsc::Receiver<ThreadId>) {
        let (sender, dropped) = mpsc::channel();
        (
            Bytes::from_owner(Owner(vec![b'x'; length], sender)),
            dropped,
        )
    }

    #[tokio::test]
    async fn a_small_buffer_is_copied_and_dropped_at_once() {
        let (original, dropped) = owned(COPIED);
        let detached = bytes(original);
        assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
        assert_eq!(detached.len(), COPIED);
    }

    type Detach = fn(Bytes) -> Bytes;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_large_buffer_is_dropped_on_the_workers() {
        let encoded = |bytes| frame_of_memory(Frame::data(bytes)).into_data().unwrap();
        let detached: [(usize, Detach); 3] = [
            (COPIED + 1, bytes),
            (FREED_ON_WORKERS, memory),
            (FREED_ON_WORKERS, encoded),
        ];
        for (length, detach) in detached {
            let (original, dropped) = owned(length);
            let detached = detach(original);
            assert_eq!(detached.len(), length);
            let letting_go = thread::spawn(move || {
                drop(detached);
                thread::current().id()
            });
            let letting_go = letting_go.join().unwrap();
            let dropping = dropped.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_ne!(dropping, letting_go, "{length}");
        }
    }

    #[test]
    fn the_values_of_headers_are_copied() {
        let (original, dropped) = owned(3);
        let mut value = HeaderValue::from_maybe_shared(original).unwrap();
        value.set_sensitive(true);
        let mut map = HeaderMap::new();
        map.insert("x-test", value);
        map.insert("content-type", HeaderValue::from_static("application/json"));
        headers(&mut map);
        assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
        assert_eq!(map["x-test"], "xxx");
        assert!(map["x-test"].is_sensitive());
        assert_eq!(map["content-type"], "application/json");
    }
}
