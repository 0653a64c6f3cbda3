//! A connection that ends in time, whatever its peer does.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tonic::transport::server::Connected;

/// The preface of HTTP/2, and less than any request of HTTP/1.1. Until it has come nothing else limits the time: HTTP/2 asks
/// for signs of life only after it.
const FIRST_WORDS: usize = 24;

/// A connection whose first words must come in time, and which breaks when `end` is done.
pub(super) struct Guarded<IO, Kept> {
    io: IO,
    /// How much of the first words is missing, and until when it may.
    silent: Option<(usize, Pin<Box<Sleep>>)>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Dropped with the connection.
    _kept: Kept,
}

impl<IO, Kept> Guarded<IO, Kept> {
    pub(super) fn new(
        io: IO,
        first_words_within: Duration,
        end: impl Future<Output = ()> + Send + 'static,
        kept: Kept,
    ) -> Self {
        let silent = Some((FIRST_WORDS, Box::pin(tokio::time::sleep(first_words_within))));
        Self { io, silent, end: Box::pin(end), _kept: kept }
    }

    /// Breaks it when its time has come.
    fn watch(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let is_silent = self.silent.as_mut().is_some_and(|(_, until)| until.as_mut().poll(context).is_ready());
        if is_silent || self.end.as_mut().poll(context).is_ready() {
            // It is not polled again once it is done.
            self.end = Box::pin(std::future::ready(()));
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl<IO, Kept> fmt::Debug for Guarded<IO, Kept> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("silent", &self.silent.is_some()).finish_non_exhaustive()
    }
}

impl<IO: AsyncRead + Unpin, Kept: Unpin> AsyncRead for Guarded<IO, Kept> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.watch(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let heard = buffer.filled().len() - before;
        self.silent = self.silent.take().and_then(|(missing, until)| {
            let missing = missing.saturating_sub(heard);
            (missing > 0).then_some((missing, until))
        });
        read
    }
}

impl<IO: AsyncWrite + Unpin, Kept: Unpin> AsyncWrite for Guarded<IO, Kept> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.watch(context)?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(context)?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(context)?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch(context)?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}

impl<IO: Connected, Kept> Connected for Guarded<IO, Kept> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}
