//! A proxy that makes each connection come from another address of loopback.

use std::net::{Ipv4Addr, SocketAddr};

use bench::Failure;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Starts a proxy for `target` on a free port; its connections come from 127.1.x.y, each from another.
pub(crate) async fn start(target: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut next = 0u16;
        while let Ok((visitor, _)) = listener.accept().await {
            next = next.wrapping_add(1);
            let [high, low] = next.to_be_bytes();
            tokio::spawn(carry(visitor, Ipv4Addr::new(127, 1, high, low), target));
        }
    });
    Ok(address)
}

async fn carry(mut visitor: TcpStream, from: Ipv4Addr, target: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let mut node = socket.connect(target).await?;
    copy_bidirectional(&mut visitor, &mut node).await.map(drop)
}
