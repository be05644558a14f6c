//! Starting from a state snapshot: taken where it is right, refused where anything of it is wrong.

use alloy_primitives::U256;
use chain::{LedgerHandle, ViewError, verify};
use network::machine::*;
use network::message::*;
use storage::MemoryStore;

use crate::bench::*;
use crate::sync::{converse, honest, serve_all, serve_from, status_of};

fn config() -> MachineConfig {
    MachineConfig { start_from_snapshot: true, snapshot_distance_min: 8, ..MachineConfig::default() }
}

/// A chain of 30 blocks, each of which changes a slot, some of them back to zero.
fn theirs() -> LedgerHandle {
    let ledger = ledger();
    for nonce in 0..30u64 {
        store(&ledger, nonce, nonce % 7, nonce % 5);
        mine(&ledger, 1, "theirs");
    }
    ledger
}

fn slots(ledger: &LedgerHandle, number: u64) -> Vec<U256> {
    let state = ledger.view().state_at(number).unwrap();
    (0..12u64).map(|slot| state.storage(CELL, U256::from(slot)).unwrap()).collect()
}

fn alarms(wants: &[Action]) -> Vec<String> {
    let alarm = |action: &Action| match action {
        Action::Alarm(alarm) => Some(alarm.to_string()),
        _ => None,
    };
    wants.iter().filter_map(alarm).collect()
}

fn asked(wants: &[Action], matches: impl Fn(&Request) -> bool) -> usize {
    wants.iter().filter(|action| matches!(action, Action::Send { message, .. } if matches(message))).count()
}

#[test]
fn a_joining_node_takes_the_state_and_follows() {
    let theirs = theirs();
    let memory = MemoryStore::new();
    let mut bench = Bench::on(memory.clone(), config());
    let wants = serve_all(&mut bench, &theirs, &[1], honest);
    let (view, original) = (bench.ledger.view(), theirs.view());
    assert_eq!(view.head().hash(), original.head().hash());
    assert_eq!((view.base_number(), view.finalized_number(), alarms(&wants)), (24, 24, vec![]));
    // What came after the snapshot was executed here, what came before was not even asked for.
    assert_eq!(asked(&wants, |request| matches!(request, Request::Bodies(hashes) if hashes.len() > 1)), 1);
    for number in 24..=30 {
        assert_eq!(slots(&bench.ledger, number), slots(&theirs, number), "block {number}");
        assert!(view.block_by_number(number).unwrap().is_some());
    }
    assert_eq!(view.state_at(23).unwrap_err(), ViewError::Pruned { first: 24 });
    assert!(view.block_by_number(23).unwrap().is_none());
    assert_eq!(view.header_by_number(23).unwrap(), original.header_by_number(23).unwrap());
    assert_eq!(
        view.total_difficulty(view.head().hash()).unwrap(),
        original.total_difficulty(view.head().hash()).unwrap()
    );
    assert_eq!(verify::verify(&memory, |_| {}).unwrap().problems, Vec::<String>::new());
    // It opens again as it is, and goes on.
    bench.ledger.shut_down().unwrap();
    let mut bench = Bench::on(memory.clone(), config());
    assert_eq!((bench.ledger.view().base_number(), bench.ledger.view().head().number), (24, 30));
    store(&theirs, 30, 1, 77);
    mine(&theirs, 3, "later");
    serve_all(&mut bench, &theirs, &[2], honest);
    assert_eq!(bench.ledger.view().head().hash(), theirs.view().head().hash());
    assert_eq!(slots(&bench.ledger, 33), slots(&theirs, 33));
    assert_eq!(verify::verify(&memory, |_| {}).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_state_that_is_wrong_anywhere_is_refused_and_its_sender_cut_off() {
    type Spoil = fn(Response) -> Response;
    let spoils: [(&str, Spoil); 6] = [
        ("an account more", |response| match response {
            Response::Accounts(mut chunk) => {
                let mut more = chunk.rows[0].clone();
                more.0.0[31] ^= 1;
                chunk.rows.insert(1, more);
                chunk.rows.sort();
                Response::Accounts(chunk)
            }
            other => other,
        }),
        ("an account less", |response| match response {
            Response::Accounts(mut chunk) => {
                chunk.rows.pop();
                Response::Accounts(chunk)
            }
            other => other,
        }),
        ("rows out of order", |response| match response {
            Response::Accounts(mut chunk) => {
                chunk.rows.reverse();
                Response::Accounts(chunk)
            }
            other => other,
        }),
        ("another slot", |response| match response {
            Response::Slots(mut chunk) => {
                chunk.rows[0].1 = vec![0x7f];
                Response::Slots(chunk)
            }
            other => other,
        }),
        ("another code", |response| match response {
            Response::Codes(_) => Response::Codes(vec![vec![0]]),
            other => other,
        }),
        ("another body", |response| match response {
            Response::Bodies(bodies) if bodies.len() == 1 => Response::Bodies(vec![vec![0xc3, 0xc0, 0xc0, 0xc0]]),
            other => other,
        }),
    ];
    let theirs = theirs();
    for (name, spoil) in spoils {
        let mut bench = Bench::new(config());
        let wants = serve_all(
            &mut bench,
            &theirs,
            &[1, 2],
            |peer, response| {
                if peer == 1 { spoil(response) } else { response }
            },
        );
        let blamed: Vec<_> = wants
            .iter()
            .filter_map(|action| match action {
                Action::Punish { peer, offence, .. } => Some((*peer, *offence)),
                _ => None,
            })
            .collect();
        assert_eq!(blamed, [(PeerId(1), Offence::InvalidState)], "{name}");
        assert!(parted(&wants, 1).is_some(), "{name}");
        // The other peer serves the next attempt.
        assert_eq!(bench.ledger.view().head().hash(), theirs.view().head().hash(), "{name}");
        assert_eq!(bench.ledger.view().base_number(), 24, "{name}");
    }
}

#[test]
fn a_transaction_that_waited_for_the_state_is_executable_in_it() {
    let theirs = theirs();
    // Nobody sends anything any more: no block says that the account has changed.
    mine(&theirs, 10, "empty");
    let mut bench = Bench::new(config());
    store(&bench.ledger, 30, 1, 9);
    assert_eq!(bench.ledger.pool().pending_transactions().len(), 0, "it waits for thirty others");
    serve_all(&mut bench, &theirs, &[1], honest);
    assert_eq!(bench.ledger.view().base_number(), 34);
    assert_eq!(bench.ledger.pool().pending_transactions().len(), 1);
}

#[test]
fn a_snapshot_of_a_branch_that_does_not_show_the_work_that_is_claimed_is_not_taken() {
    let (cheap, right) = (ledger(), theirs());
    mine(&cheap, 40, "cheap");
    let boast = |bench: &Bench| Status { total_difficulty: U256::from(1_000), ..status_of(bench, &cheap) };
    let mut bench = Bench::new(config());
    let status = boast(&bench);
    let wants = bench.welcome(1, status);
    let wants = converse(&mut bench, wants, |bench, _, request| {
        Some(match request {
            Request::Status(_) => Response::Status(Box::new(boast(bench))),
            other => serve_from(bench, &cheap, other),
        })
    });
    assert_eq!(asked(&wants, |request| matches!(request, Request::Accounts { .. })), 0);
    assert_eq!((bench.ledger.view().head().number, alarms(&wants)), (0, vec![]));
    // The other one is asked before this one is asked again.
    serve_all(&mut bench, &right, &[2], honest);
    assert_eq!(
        (bench.ledger.view().head().hash(), bench.ledger.view().base_number()),
        (right.view().head().hash(), 24)
    );
}

#[test]
fn a_block_that_is_announced_meanwhile_does_not_spoil_a_snapshot() {
    let theirs = theirs();
    let first = theirs.view().block_by_number(1).unwrap().unwrap();
    let mut bench = Bench::new(config());
    bench.welcome_equal(7);
    let status = status_of(&bench, &theirs);
    let wants = bench.welcome(1, status);
    let announced =
        Gossip::Block(Box::new(CompactBlock { transactions: Vec::new(), ..CompactBlock::of(&first) })).encode();
    assert_eq!(verdicts(&bench.gossip(7, Topic::Blocks, announced)), [Verdict::Ignore]);
    converse(&mut bench, wants, |bench, _, request| Some(serve_from(bench, &theirs, request)));
    assert_eq!((bench.ledger.view().head().number, bench.ledger.view().base_number()), (30, 24));
}

#[test]
fn a_peer_that_is_asked_too_often_is_asked_on_a_while_later() {
    let theirs = theirs();
    let mut bench = Bench::new(config());
    // Every other request for the state is refused.
    let turn = std::cell::Cell::new(0);
    let grudging = |bench: &Bench, _: u64, request: &Request| {
        turn.set(turn.get() + usize::from(matches!(request, Request::Accounts { .. } | Request::Slots { .. })));
        Some(match request {
            Request::Accounts { .. } | Request::Slots { .. } if !turn.get().is_multiple_of(2) => {
                Response::Refused("too many requests".to_owned())
            }
            other => serve_from(bench, &theirs, other),
        })
    };
    let status = status_of(&bench, &theirs);
    let (mut wants, mut more) = (Vec::new(), bench.welcome(1, status));
    for _ in 0..6 {
        wants.extend(converse(&mut bench, more, grudging));
        more = bench.pass(network::machine::limits::SNAPSHOT_REST_MS);
    }
    assert_eq!((bench.ledger.view().head().number, bench.ledger.view().base_number()), (30, 24));
    assert_eq!(turn.get(), 4, "each was asked twice");
    assert_eq!(alarms(&wants), Vec::<String>::new());
}

#[test]
fn where_nobody_can_serve_a_snapshot_the_chain_is_executed() {
    let theirs = theirs();
    let mut bench = Bench::new(config());
    let refuse = |bench: &Bench, _: u64, request: &Request| {
        Some(match request {
            Request::Accounts { .. } => Response::Refused("the state of this block is not here".to_owned()),
            other => serve_from(bench, &theirs, other),
        })
    };
    let status = status_of(&bench, &theirs);
    let (mut wants, mut more) = (Vec::new(), bench.welcome(1, status));
    // It rests each time before it is asked again.
    for _ in 0..40 {
        wants.extend(converse(&mut bench, more, refuse));
        more = bench.pass(1_000);
    }
    assert_eq!(alarms(&wants).len(), 1, "{:?}", alarms(&wants));
    assert!(wants.iter().all(|action| !matches!(action, Action::Punish { .. })));
    assert_eq!((bench.ledger.view().head().number, bench.ledger.view().base_number()), (30, 0));
    assert!(bench.ledger.view().block_by_number(1).unwrap().is_some());
}
