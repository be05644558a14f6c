//! Half-open connections: begun from one address, and nothing said on them. Whoever comes from another address still comes in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench::Failure;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::attack::{Deed, Figure, PAUSE, Term};
use super::proxy;
use super::stranger::Stage;

/// How many connections are held open at a time: more than a node has room for.
const AT_ONCE: usize = 512;
/// How soon one that was closed is begun anew: a thousand in a second.
const AGAIN: Duration = Duration::from_millis(500);

/// Begins connections and begins them anew when they are closed, until it is over; honest nodes come from other addresses meanwhile.
pub(crate) async fn hold(stage: Stage, term: Term) -> Result<Deed, Failure> {
    let (target, begun) = (stage.socket()?, Arc::new(AtomicUsize::new(0)));
    let elsewhere = stage.behind(proxy::start(target).await?)?;
    let mut holders = JoinSet::new();
    for _ in 0..AT_ONCE {
        holders.spawn(begin_again(target, Arc::clone(&begun)));
    }
    let (mut entered, mut problems) = (0, Vec::new());
    while !term.is_over() {
        tokio::time::sleep(PAUSE).await;
        match elsewhere.enter_welcome().await {
            Ok(newcomer) => {
                entered += 1;
                newcomer.leave().await;
            }
            Err(error) => problems.push(format!("an honest node from another address does not come in: {error}")),
        }
    }
    let figures = vec![Figure::count(begun.load(Ordering::Relaxed), "begun"), Figure::count(entered, "honest come in")];
    Ok(Deed { figures, problems, ..Deed::default() })
}

/// Begins a connection, says nothing, and begins the next one when it is closed.
async fn begin_again(target: SocketAddr, begun: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(target).await {
            begun.fetch_add(1, Ordering::Relaxed);
            let mut heard = [0; 256];
            while !matches!(stream.read(&mut heard).await, Ok(0) | Err(_)) {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}
