//! The pipe of a streamed reply: its producer on a worker, and its reader on the front.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use loom::thread;

use crate::body::pipe::{AHEAD, CutOff, Left, Reader, SMALL, pipe};
use crate::executor::{block_on, explore};
use crate::timer::{self, Clock};

fn frame(bytes: &[u8]) -> Frame<Bytes> {
    Frame::data(Bytes::copy_from_slice(bytes))
}

/// Reads to the end.
async fn collect(mut reader: Reader) -> Result<Vec<u8>, CutOff> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| reader.poll_frame(cx)).await {
        all.extend_from_slice(&frame?.into_data().expect("data"));
    }
    Ok(all)
}

/// The reader gets everything once and in order, and the end, whenever it fetches.
#[test]
fn a_reply_arrives_whole_and_in_order() {
    explore(3, || {
        let (writer, reader) = pipe();
        let producer = thread::spawn(move || {
            block_on(async {
                for piece in [&b"a"[..], b"b", b"c", &[b'-'; SMALL + 1], b"d"] {
                    writer.feed(frame(piece)).await.unwrap();
                }
            });
            writer.finish();
        });
        let all = block_on(collect(reader)).unwrap();
        assert_eq!(all, [&b"abc"[..], &[b'-'; SMALL + 1], b"d"].concat());
        producer.join().unwrap();
    });
}

/// Pieces that wake nobody are fetched when the producer's poll ends, at the latest.
#[test]
fn a_producer_that_waits_leaves_nothing_behind() {
    for pause_is_over in [false, true] {
        explore(3, move || {
            let clock = Arc::<Clock>::default();
            timer::follow(Arc::clone(&clock));
            let (writer, mut reader) = pipe();
            let producer = thread::spawn(move || {
                block_on(writer.flush_when_pending(async {
                    for _ in 0..3 {
                        writer.feed(frame(b"a")).await.unwrap();
                    }
                    // There is no end that would wake the reader.
                    writer.left().await;
                }));
            });
            if pause_is_over {
                clock.end();
            }
            let mut received = 0;
            while received < 3 {
                let frame = block_on(poll_fn(|cx| reader.poll_frame(cx)));
                received += frame.unwrap().unwrap().into_data().unwrap().len();
            }
            drop(reader);
            producer.join().unwrap();
        });
    }
}

/// A producer that waits for room continues, and so does a reader that waits for more.
#[test]
fn a_full_pipe_loses_no_wake_up() {
    explore(3, || {
        let (writer, reader) = pipe();
        let producer = thread::spawn(move || {
            block_on(async {
                for _ in 0..3 {
                    writer.feed(frame(&[b'-'; AHEAD])).await.unwrap();
                }
            });
            writer.finish();
        });
        assert_eq!(block_on(collect(reader)).unwrap().len(), 3 * AHEAD);
        producer.join().unwrap();
    });
}

#[test]
fn a_writer_that_goes_before_the_end_cuts_the_reply_off() {
    explore(3, || {
        let (writer, reader) = pipe();
        let producer = thread::spawn(move || {
            block_on(writer.feed(frame(b"a"))).unwrap();
            block_on(writer.feed(frame(b"b"))).unwrap();
            drop(writer);
        });
        assert_eq!(block_on(collect(reader)), Err(CutOff));
        producer.join().unwrap();
    });
}

/// The reader leaves at any moment: the producer learns it at any wait, and nothing stays in the pipe.
#[test]
fn a_producer_is_told_when_the_reader_leaves() {
    explore(3, || {
        let (writer, mut reader) = pipe();
        let kept = Bytes::from(vec![b'-'; AHEAD]);
        let sent = kept.clone();
        let producer = thread::spawn(move || {
            block_on(async {
                while writer.feed(Frame::data(sent.clone())).await != Err(Left) {
                    let _ = writer.feed(frame(b"b")).await;
                }
            });
            drop(sent);
            block_on(writer.left());
        });
        block_on(poll_fn(|cx| reader.poll_frame(cx)));
        drop(reader);
        producer.join().unwrap();
        assert!(kept.is_unique());
    });
}

/// The reader leaves at any moment while the producer waits for something else.
#[test]
fn a_producer_that_sends_nothing_is_told_when_the_reader_leaves() {
    explore(3, || {
        let (writer, reader) = pipe();
        let producer = thread::spawn(move || block_on(writer.left()));
        drop(reader);
        producer.join().unwrap();
    });
}
