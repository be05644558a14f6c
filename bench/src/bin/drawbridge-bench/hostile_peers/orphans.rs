//! Orphans: long announcements of sealed blocks whose parents nobody has. That is no offence.

use std::time::Duration;

use alloy_primitives::{B64, B256, U256};
use bench::Failure;
use consensus::Header;
use network::message::{CompactBlock, Gossip, Topic};

use super::attack::{AT_ONCE, Deed, Figure, Sizes, Term};
use super::headers::bad_header;
use super::stranger::{Stage, publish};

/// Transactions in an orphan, nearly as many as an announcement names: a quarter of a megabyte.
const TRANSACTIONS: u64 = 8_000;
/// Pauses between rounds, in which each peer sends one orphan, fill this share of the attack's time; sending takes the rest.
const PAUSES_SHARE: u32 = 2;

/// Sends blocks that are sealed, at difficulty 1, and whose parent is unknown, spread over the attack's time.
pub(crate) async fn send(stage: Stage, sizes: Sizes, mut term: Term) -> Result<Deed, Failure> {
    let transactions: Vec<B256> = (0..TRANSACTIONS).map(|index| B256::from(U256::from(index))).collect();
    let (mut peers, mut bytes, mut salt) = (Vec::new(), 0u64, 0u64);
    for _ in 0..AT_ONCE {
        peers.push(stage.enter_welcome().await?);
    }
    let rounds = u32::try_from(sizes.orphan_bytes / (TRANSACTIONS * 33 * u64::from(AT_ONCE)))?.max(1);
    // A line that is never empty: the node takes one after the other.
    let pause = (sizes.time / rounds / PAUSES_SHARE).max(Duration::from_millis(5));
    while bytes < sizes.orphan_bytes {
        for peer in &peers {
            salt += 1;
            let message = orphan(&stage, &transactions, salt);
            bytes += u64::try_from(message.len())?;
            publish(peer, Topic::Blocks, message).await;
        }
        tokio::time::sleep(pause).await;
    }
    term.over().await;
    let left = peers.iter().filter(|peer| peer.is_connected()).count();
    let mut deed = Deed { figures: vec![Figure::Sum(bytes >> 10, "KB")], ..Deed::default() };
    if left < peers.len() {
        deed.problems
            .push(format!("{left} of {} who sent orphans keep their places: orphans are no offence", peers.len()));
    }
    Ok(deed)
}

/// Returns the announcement of a block that is sealed and follows an unknown one.
fn orphan(stage: &Stage, transactions: &[B256], salt: u64) -> Vec<u8> {
    let parent_hash = B256::from(U256::from(salt));
    let bare = bad_header(stage, stage.status.head_number + 2, salt);
    let mut header = Header { parent_hash, difficulty: U256::ONE, gas_used: 1, ..bare };
    consensus::seal::apply(&mut header, B64::from(salt));
    let block = CompactBlock { header, witness: None, transactions: transactions.to_vec() };
    Gossip::Block(Box::new(block)).encode()
}
