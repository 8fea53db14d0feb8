//! The pipe in one task. `tests/loom.rs` of the workspace checks every interleaving of two threads.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

use super::pipe::{AHEAD, CHUNK, CutOff, FLOOD, FRAMES, Left, REST, Reader, SMALL, Writer, pipe};

async fn next(reader: &mut Reader) -> Option<Result<Frame<Bytes>, CutOff>> {
    poll_fn(|cx| reader.poll_frame(cx)).await
}

async fn data(reader: &mut Reader) -> Bytes {
    let frame = next(reader).await.unwrap().unwrap();
    frame.into_data().unwrap()
}

fn frame(length: usize) -> Frame<Bytes> {
    Frame::data(vec![b'x'; length].into())
}

#[tokio::test]
async fn small_pieces_that_wait_leave_together_and_in_order() {
    let (writer, mut reader) = pipe();
    let large = Bytes::from(vec![b'-'; SMALL + 1]);
    for piece in ["", "a", "b"] {
        writer.send(Frame::data(piece.into())).await.unwrap();
    }
    writer.send(Frame::data(large.clone())).await.unwrap();
    writer.send(Frame::data("c".into())).await.unwrap();
    assert_eq!(data(&mut reader).await, "");
    assert_eq!(data(&mut reader).await, "ab");
    assert_eq!(data(&mut reader).await, large);
    assert_eq!(data(&mut reader).await, "c");
    let trailers = http::HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
    writer.send(Frame::data("d".into())).await.unwrap();
    writer.send(Frame::trailers(trailers)).await.unwrap();
    writer.finish();
    assert_eq!(data(&mut reader).await, "d");
    assert!(next(&mut reader).await.unwrap().unwrap().is_trailers());
    assert!(next(&mut reader).await.is_none());
}

#[tokio::test]
async fn a_producer_waits_for_a_slow_reader_and_no_longer() {
    let (writer, mut reader) = pipe();
    let producer = tokio::spawn(async move {
        for _ in 0..4 {
            writer.send(frame(AHEAD)).await.unwrap();
        }
        writer.finish();
    });
    tokio::task::yield_now().await;
    assert!(!producer.is_finished());
    for _ in 0..4 {
        assert_eq!(data(&mut reader).await.len(), AHEAD);
    }
    assert!(next(&mut reader).await.is_none());
    producer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_reader_of_a_flood_rests_and_that_of_single_pieces_does_not() {
    let (writer, mut reader) = pipe();
    let began = Instant::now();
    writer.send(frame(1)).await.unwrap();
    assert_eq!(data(&mut reader).await.len(), 1);
    flood(&writer, &mut reader).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    writer.send(frame(1)).await.unwrap();
    assert_eq!(data(&mut reader).await.len(), 1);
    assert!((REST..REST * 3).contains(&began.elapsed()));
    // At the end, and while the producer waits, there is no rest.
    let began = Instant::now();
    flood(&writer, &mut reader).await;
    writer.send(frame(AHEAD)).await.unwrap();
    assert_eq!(data(&mut reader).await.len(), AHEAD);
    flood(&writer, &mut reader).await;
    writer.finish();
    assert!(next(&mut reader).await.is_none());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Sends as many small pieces as make the reader rest.
async fn flood(writer: &Writer, reader: &mut Reader) {
    for _ in 0..=FLOOD {
        writer.send(frame(1)).await.unwrap();
    }
    assert_eq!(data(reader).await.len(), 1);
    assert_eq!(data(reader).await.len(), FLOOD);
}

/// The bytes in the pipe are bounded, and so are those that the reader gets at once.
#[tokio::test]
async fn pieces_lie_together_up_to_a_chunk_and_no_more_than_the_bound() {
    // Fewer pieces than a task may send before it yields.
    const PIECE: usize = SMALL / 2;
    let (writer, mut reader) = pipe();
    let mut sent = 0;
    while poll(writer.send(frame(PIECE))).await.is_ready() {
        sent += PIECE;
        assert!(sent <= AHEAD + PIECE);
    }
    assert!(sent > AHEAD / 2, "{sent}");
    writer.finish();
    let mut received = 0;
    let mut frames = 0;
    while let Some(Ok(frame)) = next(&mut reader).await {
        let length = frame.into_data().unwrap().len();
        assert!(length <= CHUNK, "{length}");
        received += length;
        frames += 1;
    }
    assert_eq!(received, sent);
    assert!(frames <= FRAMES + 1, "{frames}");
}

/// A producer that waits is woken when half of the pipe is free, not for each frame.
#[tokio::test]
async fn a_producer_goes_on_when_half_of_the_pipe_is_free() {
    let (writer, mut reader) = pipe();
    for _ in 0..FRAMES {
        writer.send(frame(SMALL + 1)).await.unwrap();
    }
    let more = tokio::spawn(async move { writer.send(frame(SMALL + 1)).await });
    tokio::task::yield_now().await;
    for _ in 0..FRAMES / 2 {
        // Only a wake-up would let it go on.
        tokio::task::yield_now().await;
        assert!(!more.is_finished());
        data(&mut reader).await;
    }
    assert_eq!(more.await.unwrap(), Ok(()));
}

async fn poll<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn a_writer_that_goes_before_the_end_cuts_the_reply_off() {
    let (writer, mut reader) = pipe();
    writer.send(frame(1)).await.unwrap();
    drop(writer);
    assert_eq!(data(&mut reader).await, "x");
    assert_eq!(next(&mut reader).await.unwrap().unwrap_err(), CutOff);
}

#[tokio::test]
async fn a_reader_that_leaves_is_noticed_wherever_the_writer_is() {
    let (writer, reader) = pipe();
    writer.send(frame(AHEAD)).await.unwrap();
    let full = tokio::spawn(async move { writer.send(frame(1)).await });
    let (writer, other) = pipe();
    let idle = tokio::spawn(async move { writer.left().await });
    tokio::task::yield_now().await;
    drop((reader, other));
    assert_eq!(full.await.unwrap(), Err(Left));
    idle.await.unwrap();
}
