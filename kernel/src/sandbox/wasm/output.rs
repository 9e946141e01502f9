//! What a guest writes: the beginning is kept up to the cap, the rest is
//! counted and thrown away, and at ten times the cap the guest is ended.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::{async_trait, bytes::Bytes};

use super::drive::Stop;
use crate::sandbox::running::Stream;

/// Bytes a guest may write in one call to a stream.
const PERMIT: usize = 64 << 10;

/// How far past the cap a guest may write before it is ended.
const FLOOD: u64 = 10;

/// Who is told of output while the guest runs. Both streams of a run share it.
#[derive(Clone)]
pub(super) struct Sink(Arc<Mutex<super::OutputSink>>);

impl Sink {
    pub(super) fn new(sink: super::OutputSink) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    fn tell(&self, stream: Stream, bytes: &[u8]) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(stream, bytes);
    }
}

/// One captured stream; clones share it.
#[derive(Clone)]
pub(super) struct Captured(Arc<Inner>);

struct Inner {
    cap: u64,
    kept: Mutex<Vec<u8>>,
    written: AtomicU64,
    sink: Option<(Sink, Stream)>,
}

impl Captured {
    /// Keeps the first `cap` bytes.
    pub(super) fn new(cap: u64) -> Self {
        Self::streamed(cap, None)
    }

    /// Keeps the first `cap` bytes and passes them on as they come.
    pub(super) fn streamed(cap: u64, sink: Option<(Sink, Stream)>) -> Self {
        Self(Arc::new(Inner { cap, kept: Mutex::default(), written: AtomicU64::new(0), sink }))
    }

    /// Bytes written, kept or not.
    pub(super) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Whether bytes were thrown away.
    pub(super) fn is_cut(&self) -> bool {
        self.written() > self.0.cap
    }

    /// Takes what was kept.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether so much was written that the guest is to be ended.
    pub(super) fn is_flooded(&self) -> bool {
        self.written() > self.0.cap.saturating_mul(FLOOD)
    }

    fn accept(&self, bytes: &[u8]) -> Result<(), Stop> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = usize::try_from(self.0.cap).unwrap_or(usize::MAX).saturating_sub(kept.len());
        let wanted = &bytes[..bytes.len().min(room)];
        kept.extend_from_slice(wanted);
        drop(kept);
        if let Some((sink, stream)) = &self.0.sink
            && !wanted.is_empty()
        {
            sink.tell(*stream, wanted);
        }
        self.0.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.is_flooded() { Err(Stop::Output) } else { Ok(()) }
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.accept(&bytes).map_err(|stop| StreamError::Trap(wasmtime::Error::new(stop)))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Captured {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.accept(bytes).map(|()| bytes.len()).map_err(std::io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_kept_and_the_rest_is_counted() {
        let stream = Captured::new(4);

        stream.accept(b"abc").unwrap();
        stream.accept(b"def").unwrap();

        assert!(stream.is_cut());
        assert_eq!(stream.written(), 6);
        assert_eq!(stream.take(), b"abcd");
    }

    #[test]
    fn ten_times_the_cap_is_a_stop() {
        let stream = Captured::new(1);

        assert_eq!(stream.accept(&[0; 10]), Ok(()));
        assert_eq!(stream.accept(&[0; 1]), Err(Stop::Output));
    }
}
