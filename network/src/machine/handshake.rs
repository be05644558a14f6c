//! The handshake: our own status, and what keeps a peer's from being that of one of ours. Each mismatch has a text of its own.

use std::collections::BTreeMap;

use chain::{ChainView, ViewError};

use super::config::MachineConfig;
use super::fork_id::Forks;
use super::limits::CLOCK_OFFSET_MS_MAX;
use crate::message::limits::PROTOCOL_VERSION;
use crate::message::{Rule, Status, rules_digest};

/// How many rules that differ are named.
const DIFFERENCES_MAX: usize = 6;

/// Returns our status now.
///
/// # Errors
/// Our own store failed.
pub(crate) fn our_status(
    config: &MachineConfig,
    forks: &Forks,
    view: &ChainView,
    now_ms: u64,
) -> Result<Status, ViewError> {
    let head = view.head();
    let finalized = view.finalized_number();
    Ok(Status {
        protocol: PROTOCOL_VERSION,
        chain_id: view.spec().chain_id,
        genesis: view.genesis_hash(),
        rules_digest: rules_digest(&config.rules),
        rules: config.rules.clone(),
        fork_id: forks.id(head.number, head.timestamp),
        head: head.hash(),
        head_number: head.number,
        total_difficulty: view.head_td(),
        finalized,
        finalized_hash: view.canonical_hash(finalized)?.unwrap_or_default(),
        clock_ms: now_ms,
        history_from: view.history_floor()?,
        agent: config.agent.clone(),
        roles: config.roles,
    })
}

/// Returns a peer's clock minus ours in milliseconds: it was read about when the status was half-way.
pub(crate) fn clock_offset_ms(theirs: u64, asked_at: u64, now_ms: u64) -> i64 {
    let ours = i128::from(asked_at) + (i128::from(now_ms) - i128::from(asked_at)) / 2;
    i64::try_from(i128::from(theirs) - ours).unwrap_or(if u128::from(theirs) > ours.unsigned_abs() {
        i64::MAX
    } else {
        i64::MIN
    })
}

/// Returns why a peer is none of ours; empty: it is.
pub(crate) fn mismatches(
    ours: &Status,
    theirs: &Status,
    forks: &Forks,
    head_timestamp: u64,
    clock_offset_ms: i64,
) -> Vec<String> {
    let mut found = Vec::new();
    if ours.protocol != theirs.protocol {
        let (ours, theirs) = (ours.protocol, theirs.protocol);
        // The rest may mean something else in another version.
        return vec![format!("protocol version: ours {ours}, theirs {theirs}; run the same version of the program")];
    }
    if ours.chain_id != theirs.chain_id {
        found.push(format!("chain id: ours {}, theirs {}", ours.chain_id, theirs.chain_id));
    }
    if ours.genesis != theirs.genesis {
        found.push(format!("genesis hash: ours {}, theirs {}", ours.genesis, theirs.genesis));
    }
    if ours.rules_digest != theirs.rules_digest || theirs.rules_digest != rules_digest(&theirs.rules) {
        found.extend(differences(&ours.rules, &theirs.rules));
    }
    if found.is_empty()
        && let Err(problem) = forks.check(theirs.fork_id, ours.head_number, head_timestamp)
    {
        found.push(problem);
    }
    if clock_offset_ms.unsigned_abs() > CLOCK_OFFSET_MS_MAX {
        let seconds = clock_offset_ms.unsigned_abs() / 1000;
        let side = if clock_offset_ms > 0 { "ahead of" } else { "behind" };
        found.push(format!("clock off by {seconds} s: theirs is {side} ours; set both by NTP"));
    }
    found
}

fn differences(ours: &[Rule], theirs: &[Rule]) -> Vec<String> {
    let by_name = |rules: &[Rule]| -> BTreeMap<String, String> {
        rules.iter().map(|rule| (rule.name.clone(), rule.value.clone())).collect()
    };
    let (ours, theirs) = (by_name(ours), by_name(theirs));
    let mut names: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    names.sort();
    names.dedup();
    let value =
        |rules: &BTreeMap<String, String>, name: &str| rules.get(name).cloned().unwrap_or_else(|| "absent".to_owned());
    let differing: Vec<_> = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)).collect();
    if differing.is_empty() {
        return vec!["rules: their digest does not fit the rules that they list".to_owned()];
    }
    let mut texts: Vec<_> = differing
        .iter()
        .take(DIFFERENCES_MAX)
        .map(|name| format!("{name}: ours {}, theirs {}", value(&ours, name), value(&theirs, name)))
        .collect();
    if let Some(more) = differing.len().checked_sub(DIFFERENCES_MAX).filter(|more| *more > 0) {
        texts.push(format!("{more} more rules differ"));
    }
    texts
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256};
    use consensus::Genesis;

    use super::super::rules::rules_of;
    use super::*;
    use crate::message::{ForkId, Roles};

    fn forks(genesis: &Genesis) -> Forks {
        Forks::new(&genesis.spec, genesis.header.hash(), genesis.header.timestamp)
    }

    fn status(genesis: &Genesis) -> Status {
        let rules = rules_of(genesis);
        Status {
            protocol: PROTOCOL_VERSION,
            chain_id: genesis.spec.chain_id,
            genesis: genesis.header.hash(),
            rules_digest: rules_digest(&rules),
            rules,
            fork_id: forks(genesis).id(0, 0),
            head: genesis.header.hash(),
            head_number: 0,
            total_difficulty: U256::ONE,
            finalized: 0,
            finalized_hash: genesis.header.hash(),
            clock_ms: 0,
            history_from: 0,
            agent: "test".to_owned(),
            roles: Roles::default(),
        }
    }

    fn genesis(config: &str, gas_limit: u64) -> Genesis {
        let file =
            format!(r#"{{"config": {{{config}}}, "gasLimit": "{gas_limit:#x}", "difficulty": "0x1", "alloc": {{}}}}"#);
        Genesis::parse(&file).unwrap().0
    }

    /// Says why a node of the first chain parts from one of the second whose clock is `offset_ms` off.
    fn check(theirs: &Status, offset_ms: i64, expected: &[&str]) {
        let ours = genesis(r#""chainId": 7, "pow": {"difficulty": {"fixed": 1}}"#, 30_000_000);
        let found = mismatches(&status(&ours), theirs, &forks(&ours), 0, offset_ms);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} is not {expected}…");
        }
    }

    #[test]
    fn each_mismatch_has_its_own_text() {
        let same = r#""chainId": 7, "pow": {"difficulty": {"fixed": 1}}"#;
        check(&status(&genesis(same, 30_000_000)), 0, &[]);
        check(&status(&genesis(same, 30_000_000)), 14_999, &[]);
        check(
            &status(&genesis(same, 30_000_000)),
            31_000,
            &["clock off by 31 s: theirs is ahead of ours; set both by NTP"],
        );
        check(
            &status(&genesis(same, 30_000_000)),
            -3_600_000,
            &["clock off by 3600 s: theirs is behind ours; set both by NTP"],
        );
        check(
            &status(&genesis(same, 20_000_000)),
            0,
            &["genesis hash: ours 0x", "gasLimit: ours 30000000, theirs 20000000"],
        );
        let reward = r#""chainId": 7, "pow": {"difficulty": {"fixed": 1}, "block_reward": "5"}"#;
        check(
            &status(&genesis(reward, 30_000_000)),
            0,
            &["config.pow.block_reward: ours 2000000000000000000, theirs 5"],
        );
        let id = r#""chainId": 8, "pow": {"difficulty": {"fixed": 1}}"#;
        check(
            &status(&genesis(id, 30_000_000)),
            0,
            &["chain id: ours 7, theirs 8", "config.chainId: ours 7, theirs 8"],
        );
        let mut other = status(&genesis(same, 30_000_000));
        other.protocol = PROTOCOL_VERSION + 1;
        check(&other, 0, &["protocol version: ours 2, theirs 3; run the same version of the program"]);
        let mut other = status(&genesis(same, 30_000_000));
        other.fork_id = ForkId { hash: 1, next: 0 };
        check(&other, 0, &["forks: the schedules differ (ours 0x"]);
        let mut other = status(&genesis(same, 30_000_000));
        other.rules_digest = B256::ZERO;
        check(&other, 0, &["rules: their digest does not fit the rules that they list"]);
    }

    #[test]
    fn at_most_so_many_differences_are_named() {
        let rule = |index: usize, value: &str| Rule { name: format!("rule {index}"), value: value.to_owned() };
        let ours: Vec<_> = (0..20).map(|index| rule(index, "a")).collect();
        let theirs: Vec<_> = (0..20).map(|index| rule(index, "b")).collect();
        let found = differences(&ours, &theirs);
        assert_eq!((found.len(), found[DIFFERENCES_MAX].as_str()), (DIFFERENCES_MAX + 1, "14 more rules differ"));
    }

    #[test]
    fn the_clock_is_compared_with_the_middle_of_the_way() {
        for (theirs, asked, now, expected) in
            [(150, 100, 200, 0), (1150, 100, 200, 1000), (50, 100, 200, -100), (u64::MAX, 0, 0, i64::MAX)]
        {
            assert_eq!(clock_offset_ms(theirs, asked, now), expected);
        }
    }
}
