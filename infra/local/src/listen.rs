//! Sockets of the stack's services.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::start_error::StartError;

/// A free port of the loopback interface.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Binds a socket for the service and returns its real address.
pub(crate) async fn listen(
    service: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        service,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
