//! A listener whose connections do not survive being idle: the next bytes on one are answered with a reset.
//!
//! A frozen function does not see that a peer, a proxy or a NAT gateway has forgotten its connection; it learns so from
//! the answer to its next request, which then may or may not have been carried out.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// How long a connection to a simulator may be idle. Real services and the gateways in between allow more, from a minute
/// up; less makes the loss show within a test.
pub(crate) const LONGEST_IDLE: Duration = Duration::from_secs(6);

/// Accepts connections that are reset by the first bytes after [`LONGEST_IDLE`] without any.
#[derive(Debug)]
pub(crate) struct Forgetful(pub(crate) TcpListener);

impl Listener for Forgetful {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let used = Instant::now();
        (Connection { stream, used }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection and when it last carried something.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    used: Instant,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let received = buffer.filled().len() > before;
        if received && self.used.elapsed() > LONGEST_IDLE {
            // With a linger of zero, closing sends a reset instead of an orderly end.
            self.stream.set_zero_linger()?;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.used = Instant::now();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.used = Instant::now();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
