//! What the bridge does on the chain: it checks a claim as the device did, by its own node, and records release and opening with the operator's
//! account.
//!
//! Each step may be done twice: the contract takes a release and an opening once.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use alloy_primitives::B256;

use crate::bridge::reconcile::{Action, Job, Outcome};
use crate::chain_client::orders::{OrderState, Recorded, Trust, record_opening_data, release_data};
use crate::chain_client::sender::Sender;
use crate::chain_client::{ChainClient, ChainError, Settled};
use crate::code::claim::{Approval, Claim};

/// Every so many tries (some seconds), it is looked whether what was sent must be sent again: a transaction may be lost with a node or in a
/// reorganisation.
const TRIES_PER_SENDING: u32 = 32;

/// Holds the operator's view of the chain and its account.
#[derive(Debug)]
pub struct Operator {
    /// The operator's node.
    pub client: ChainClient,
    /// The chain's id.
    pub chain_id: u64,
    /// Which contracts are orders.
    pub trust: Trust,
    /// The block that counts.
    pub settled: Settled,
    /// Whether plain codes are released.
    pub static_codes: bool,
    /// The account; one transaction is sent at a time, so that their nonces follow.
    pub sender: Mutex<Sender>,
}

impl Operator {
    /// Carries a command out beside others, and tells what came out of it.
    pub(crate) fn start(
        self: Arc<Self>,
        thing: String,
        job: Job,
        action: Action,
        results: mpsc::Sender<(String, B256, Action, Outcome)>,
    ) {
        tokio::spawn(async move {
            let outcome = self.carry_out(&thing, &job, action).await;
            tracing::debug!(%thing, job = %job.id, ?action, ?outcome, "done");
            // A bridge that ended needs no result.
            let _ = results.send((thing, job.id, action, outcome)).await;
        });
    }

    async fn carry_out(&self, thing: &str, job: &Job, action: Action) -> Outcome {
        let claim = match Claim::read(&job.code, self.chain_id, thing, job.until) {
            Ok(claim) if claim.release.digest() != job.id => {
                return refuse(thing, job, "the job is not that of the code");
            }
            Ok(claim) if claim.approval == Approval::Operator && !self.static_codes => {
                return refuse(thing, job, "plain codes are not released here");
            }
            Ok(claim) => claim,
            Err(problem) => return refuse(thing, job, &problem.to_string()),
        };
        let again = |error: ChainError| {
            tracing::warn!(%thing, job = %job.id, %error, "the chain does not answer");
            Outcome::Again
        };
        let done = match action {
            Action::Record => self.record(job, &claim).await,
            _ => self.release(thing, job, &claim, action).await,
        };
        done.unwrap_or_else(again)
    }

    async fn order(&self, claim: &Claim, settled: Settled) -> Result<OrderState, ChainError> {
        self.client.order(&self.trust, claim, settled).await
    }

    async fn release(&self, thing: &str, job: &Job, claim: &Claim, action: Action) -> Result<Outcome, ChainError> {
        let state = self.order(claim, self.settled).await?;
        if !state.known {
            return Ok(refuse(thing, job, "the contract is no order of a registry that is known here"));
        }
        if let Some(recorded) = state.release {
            return Ok(match recorded.job == job.id {
                true => settled(&recorded),
                false => refuse(thing, job, "the order was released before, by another job"),
            });
        }
        if action == Action::Look && !(job.tries + 1).is_multiple_of(TRIES_PER_SENDING) || !state.verified {
            return Ok(Outcome::Again);
        }
        if !state.approved {
            return Ok(refuse(thing, job, "the buyer's wallet does not take the signature for its own"));
        }
        match self.order(claim, Settled::Depth(0)).await?.release {
            Some(recorded) if recorded.job == job.id => return Ok(Outcome::Sent),
            Some(_) => return Ok(Outcome::Again),
            None => {}
        }
        let data = release_data(&claim.release, claim.approval.signature());
        let sender = self.sender.lock().await;
        if let Err(error) = sender.try_call(claim.release.contract, &data).await {
            return match error {
                ChainError::Node { .. } => {
                    tracing::warn!(%thing, job = %job.id, %error, "the order does not take the release");
                    Ok(Outcome::Again)
                }
                other => Err(other),
            };
        }
        let transaction = sender.send(claim.release.contract, data).await?;
        tracing::info!(%thing, job = %job.id, %transaction, contract = %claim.release.contract, "release sent");
        Ok(Outcome::Sent)
    }

    async fn record(&self, job: &Job, claim: &Claim) -> Result<Outcome, ChainError> {
        let is_opened = |state: OrderState| state.release.filter(|recorded| recorded.opened_at != 0);
        if let Some(recorded) = is_opened(self.order(claim, self.settled).await?) {
            return Ok(settled(&recorded));
        }
        let is_sent = is_opened(self.order(claim, Settled::Depth(0)).await?).is_some();
        if !is_sent && job.tries.is_multiple_of(TRIES_PER_SENDING) {
            let sender = self.sender.lock().await;
            let transaction = sender.send(claim.release.contract, record_opening_data(job.id)).await?;
            tracing::info!(job = %job.id, %transaction, "opening sent");
        }
        Ok(Outcome::Again)
    }
}

fn settled(recorded: &Recorded) -> Outcome {
    Outcome::Settled { released_at: recorded.released_at, opened: recorded.opened_at != 0 }
}

fn refuse(thing: &str, job: &Job, reason: &str) -> Outcome {
    tracing::warn!(%thing, job = %job.id, reason, "a job is refused");
    Outcome::Refused
}
