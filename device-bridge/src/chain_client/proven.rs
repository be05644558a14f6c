//! Orders whose state is proven: nothing is believed but the chain's rules and a block that was pinned or verified before.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use alloy_primitives::{Address, B256, Bytes, U256};
use consensus::Witness;
use parking_lot::Mutex;
use proof::{AccountProof, Anchor, OrderProof, ProofError, Rules, Segment, SlotProof, verify_order, verify_segment};
use serde::Deserialize;
use serde_json::json;

use super::orders::{OrderState, Recorded, Trust};
use super::{ChainClient, ChainError};

/// The method that gives proofs.
const METHOD: &str = "drawbridge_ownershipProof";

/// A pinned block, written as `NUMBER:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned(pub Anchor);

impl FromStr for Pinned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no block such as 0:0x… (its number and its hash)");
        let (number, hash) = text.trim().split_once(':').ok_or_else(wrong)?;
        let (number, hash) = (number.parse().map_err(|_| wrong())?, hash.parse().map_err(|_| wrong())?);
        Ok(Self(Anchor { number, hash }))
    }
}

/// Holds what proofs are verified with. The pinned block moves on with each proof, and is kept in a file.
#[derive(Debug)]
pub struct Proving {
    anchor: Mutex<Anchor>,
    file: PathBuf,
    difficulty_min: U256,
    authorized_miners: Vec<Address>,
    depth: u64,
}

impl Proving {
    /// Begins at the block that `file` holds, or at `pinned` where there is no file. No header may have less than `difficulty_min`, each must
    /// have the signature of one of `authorized_miners` where there are some, and a state counts `depth` blocks below the head.
    ///
    /// # Errors
    /// The file cannot be read, or holds no block.
    pub fn new(
        pinned: Pinned,
        file: &Path,
        difficulty_min: U256,
        authorized_miners: Vec<Address>,
        depth: u64,
    ) -> Result<Self, ChainError> {
        let failed = |problem: &dyn std::fmt::Display| ChainError::Settings(format!("{}: {problem}", file.display()));
        let kept = match std::fs::read_to_string(file) {
            Ok(text) => Some(text.parse::<Pinned>().map_err(|problem| failed(&problem))?.0),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&error)),
        };
        let anchor = kept.filter(|kept| kept.number >= pinned.0.number).unwrap_or(pinned.0);
        let anchor = Mutex::new(anchor);
        Ok(Self { anchor, file: file.to_owned(), difficulty_min, authorized_miners, depth })
    }

    /// Pins a later block, in the file too; a crash leaves the old one or the new one.
    fn move_on(&self, to: Anchor) -> std::io::Result<()> {
        let mut anchor = self.anchor.lock();
        if to.number > anchor.number {
            let fresh = self.file.with_extension("new");
            std::fs::write(&fresh, format!("{}:{}\n", to.number, to.hash))?;
            std::fs::rename(&fresh, &self.file)?;
            *anchor = to;
        }
        Ok(())
    }
}

/// What the method answers.
#[derive(Deserialize)]
struct Answer {
    headers: Vec<Bytes>,
    witnesses: Vec<Bytes>,
    order: ProvenAccount,
    registry: ProvenAccount,
}

#[derive(Deserialize)]
struct ProvenAccount {
    account: Bytes,
    nodes: Vec<Bytes>,
    slots: Vec<ProvenSlot>,
}

#[derive(Deserialize)]
struct ProvenSlot {
    slot: U256,
    value: U256,
    nodes: Vec<Bytes>,
}

impl From<ProvenAccount> for AccountProof {
    fn from(proven: ProvenAccount) -> Self {
        let slot = |slot: ProvenSlot| SlotProof { slot: slot.slot, value: slot.value, nodes: slot.nodes };
        Self { account: proven.account, nodes: proven.nodes, slots: proven.slots.into_iter().map(slot).collect() }
    }
}

fn recover(hash: B256, signature: &[u8; 65]) -> Option<Address> {
    Witness::from_bytes(signature).ok()?.recover(hash).ok()
}

impl ChainClient {
    /// Asks what is proven about an order and one who claims it: the first registry in whose proof it stands counts.
    ///
    /// # Errors
    /// There is no answer, or it proves nothing.
    pub async fn proven_order(
        &self,
        proving: &Proving,
        trust: &Trust,
        contract: Address,
        claimant: Address,
    ) -> Result<OrderState, ChainError> {
        for registry in &trust.registries {
            let state = self.proven_by(proving, *registry, contract, claimant).await?;
            if state.known {
                return Ok(state);
            }
        }
        Ok(OrderState::default())
    }

    async fn proven_by(
        &self,
        proving: &Proving,
        registry: Address,
        contract: Address,
        claimant: Address,
    ) -> Result<OrderState, ChainError> {
        let anchor = *proving.anchor.lock();
        let params = json!([contract, registry, format!("{:#x}", anchor.number), format!("{:#x}", proving.depth)]);
        let answer = self.call(METHOD, params).await?;
        let answer: Answer = serde_json::from_value(answer).map_err(|error| ChainError::malformed(METHOD, error))?;
        let (state, settled) = verify(proving, &anchor, answer, registry, contract, claimant)
            .map_err(|error| ChainError::Unproven(error.to_string()))?;
        if let Err(error) = proving.move_on(settled) {
            tracing::warn!(file = %proving.file.display(), %error, "the pinned block cannot be kept");
        }
        Ok(state)
    }
}

fn verify(
    proving: &Proving,
    anchor: &Anchor,
    answer: Answer,
    registry: Address,
    contract: Address,
    claimant: Address,
) -> Result<(OrderState, Anchor), ProofError> {
    let rules =
        Rules { difficulty_min: proving.difficulty_min, authorized_miners: &proving.authorized_miners, recover };
    let segment = Segment { headers: &answer.headers, witnesses: &answer.witnesses };
    let headers = verify_segment(anchor, &rules, &segment)?;
    let head = headers.last().ok_or(ProofError::Empty)?.number;
    // How deep the state is, is for the verifier to say; a chain that is not that long proves nothing.
    let number = head.checked_sub(proving.depth).ok_or(ProofError::Depth { number: 0, head })?;
    let settled = headers.iter().find(|header| header.number == number).ok_or(ProofError::Depth { number, head })?;
    let proof = OrderProof { order: answer.order.into(), registry: answer.registry.into() };
    let proven = verify_order(settled.state_root, registry, contract, &proof)?;
    let release = (!proven.job.is_zero()).then_some(Recorded {
        job: proven.job,
        collected_by: proven.buyer,
        released_at: proven.released_at,
        opened_at: proven.opened_at,
    });
    let verified = proven.buyer == claimant && !claimant.is_zero();
    let anchor = Anchor { number: settled.number, hash: settled.hash };
    // Codes of wallets, whose answers no proof holds, are not taken where proofs are demanded.
    Ok((OrderState { known: proven.known, verified, approved: true, release }, anchor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(number: u64) -> Pinned {
        Pinned(Anchor { number, hash: B256::repeat_byte(u8::try_from(number).unwrap()) })
    }

    #[test]
    fn a_pinned_block_is_written_as_number_and_hash() {
        let text = format!("7:{}", B256::repeat_byte(7));
        assert_eq!(text.parse(), Ok(pinned(7)));
        for wrong in ["", "7", ":0x", "x:0x07", "7:0x07"] {
            assert!(wrong.parse::<Pinned>().unwrap_err().contains("0:0x"), "{wrong}");
        }
    }

    #[test]
    fn the_pinned_block_moves_on_and_never_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("anchor");
        let open = |number| Proving::new(pinned(number), &file, U256::ONE, Vec::new(), 2);
        let proving = open(3).unwrap();
        proving.move_on(pinned(5).0).unwrap();
        proving.move_on(pinned(4).0).unwrap();
        assert_eq!(*proving.anchor.lock(), pinned(5).0);
        assert_eq!(*open(3).unwrap().anchor.lock(), pinned(5).0);
        assert_eq!(*open(9).unwrap().anchor.lock(), pinned(9).0, "a newer pin wins");
        std::fs::write(&file, "nothing").unwrap();
        assert!(open(3).unwrap_err().to_string().contains("anchor"));
    }
}
