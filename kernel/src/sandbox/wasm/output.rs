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

/// Bytes a guest may write in one call to a stream.
const PERMIT: usize = 64 << 10;

/// How far past the cap a guest may write before it is ended.
const FLOOD: u64 = 10;

/// One captured stream; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Captured(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cap: u64,
    kept: Mutex<Vec<u8>>,
    written: AtomicU64,
}

impl Captured {
    /// Keeps the first `cap` bytes.
    pub(super) fn new(cap: u64) -> Self {
        Self(Arc::new(Inner { cap, kept: Mutex::default(), written: AtomicU64::new(0) }))
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
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        drop(kept);
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
