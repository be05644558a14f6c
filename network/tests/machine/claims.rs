//! Peers that claim more than they have, or keep others waiting: they cost a moment, and the sync goes on with whoever has something.

use std::cell::{Cell, RefCell};

use alloy_primitives::B256;
use network::machine::limits::*;
use network::machine::*;
use network::message::limits::HEADERS_MAX;
use network::message::*;

use crate::bench::*;
use crate::limits::headers_after;
use crate::sync::{converse, honest, serve_all, serve_from, status_of};

fn is_headers(sent: &(RequestId, Request)) -> bool {
    matches!(sent.1, Request::Headers { .. })
}

fn is_bodies(sent: &(RequestId, Request)) -> bool {
    matches!(sent.1, Request::Bodies(_))
}

fn blamed(wants: &[Action]) -> Vec<(PeerId, Offence)> {
    let offence = |action: &Action| match action {
        Action::Punish { peer, offence, .. } => Some((*peer, *offence)),
        _ => None,
    };
    wants.iter().filter_map(offence).collect()
}

#[test]
fn a_branch_that_does_not_come_to_what_was_claimed_is_never_imported() {
    let (cheap, right) = (ledger(), ledger());
    mine(&cheap, 30, "cheap");
    mine(&right, 20, "right");
    let mut bench = Bench::new(MachineConfig::default());
    // It has more blocks than are final at any time: once imported, the right chain would be refused for good.
    let boast = |bench: &Bench| Status { total_difficulty: 1_000u64.try_into().unwrap(), ..status_of(bench, &cheap) };
    let status = boast(&bench);
    let mut wants = bench.welcome(1, status);
    wants = converse(&mut bench, wants, |bench, _, request| {
        Some(match request {
            Request::Status(_) => Response::Status(Box::new(boast(bench))),
            other => serve_from(bench, &cheap, other),
        })
    });
    assert_eq!(bench.ledger.view().head().number, 0, "nothing of it is imported");
    assert_eq!(blamed(&wants), [(PeerId(1), Offence::FalseClaim)]);
    assert!(sent(&wants, 1).iter().all(|sent| !is_bodies(sent)));
    serve_all(&mut bench, &right, &[2], honest);
    assert_eq!(bench.ledger.view().head().hash(), right.view().head().hash());
}

/// Serves headers out of two lists: after the genesis block was asked for the first time from the first one, then from the second one.
/// Returns the headers' requests and the hashes of the bodies that were asked for.
fn walk_twice(bench: &mut Bench, lists: [&[WitnessedHeader]; 2]) -> (usize, Vec<B256>, Vec<Action>) {
    let first = bench.ledger.view().head().hash();
    let last = lists[0].last().unwrap().header.hash_slow();
    let count = u64::try_from(lists[0].len()).unwrap();
    let work = count + u64::try_from(bench.ledger.view().head_td()).unwrap();
    let status = bench.status(last, count + 1, work);
    let wants = bench.welcome(1, status.clone());
    let (walks, asked, bodies) = (Cell::new(0usize), Cell::new(0), RefCell::new(Vec::new()));
    let wants = converse(bench, wants, |bench, _, request| {
        assert!(bench.machine.held_bytes() <= HEADERS_AHEAD_MAX * 1200 + 4096, "{}", bench.machine.held_bytes());
        match request {
            Request::Status(_) => Some(Response::Status(Box::new(status.clone()))),
            Request::Headers { locator, count } => {
                asked.set(asked.get() + 1);
                walks.set(walks.get() + usize::from(locator.contains(&first)));
                let list = lists[usize::from(walks.get() > 1)];
                let at =
                    list.iter().position(|header| locator.contains(&header.header.hash_slow())).map_or(0, |at| at + 1);
                let end = list.len().min(at + usize::try_from(*count).unwrap());
                Some(Response::Headers(list[at..end].to_vec()))
            }
            Request::Bodies(hashes) => {
                bodies.borrow_mut().extend_from_slice(hashes);
                None
            }
            _ => Some(Response::Refused(String::new())),
        }
    });
    (asked.get(), bodies.into_inner(), wants)
}

#[test]
fn headers_that_are_too_many_to_be_kept_are_counted_and_fetched_again() {
    let mut bench = Bench::new(MachineConfig::default());
    let parent = mine(&bench.ledger, 1, "a")[0].header.clone();
    let headers = headers_after(&parent, HEADERS_AHEAD_MAX + HEADERS_MAX + 7, 0);
    let (asked, bodies, wants) = walk_twice(&mut bench, [&headers, &headers]);
    assert_eq!(blamed(&wants), []);
    // All of them, and as many again as are kept.
    assert_eq!(asked, 1 + (headers.len() - HEADERS_FIRST).div_ceil(HEADERS_MAX) + HEADERS_AHEAD_MAX / HEADERS_MAX);
    assert_eq!(bodies[0], headers[0].header.hash_slow(), "then the blocks are asked for");
}

#[test]
fn another_branch_the_second_time_is_not_taken_for_the_one_that_was_proven() {
    let mut bench = Bench::new(MachineConfig::default());
    let parent = mine(&bench.ledger, 1, "a")[0].header.clone();
    let headers = headers_after(&parent, HEADERS_AHEAD_MAX + HEADERS_MAX + 7, 0);
    let others = headers_after(&parent, HEADERS_AHEAD_MAX, 1);
    let (_, bodies, wants) = walk_twice(&mut bench, [&headers, &others]);
    assert_eq!((bodies, blamed(&wants)), (vec![], vec![]), "a chain may change; nothing of this one is asked for");
}

#[test]
fn a_claim_that_changes_while_its_headers_are_asked_for_does_not_hold_the_sync() {
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 3, "a");
    let claim = |bench: &Bench, salt: u8, work: u64| bench.status(B256::repeat_byte(salt), 1000, work);
    let status = claim(&bench, 1, 2_000_000);
    let actions = bench.welcome(1, status);
    let (request, _) = sent(&actions, 1).into_iter().find(is_headers).unwrap();
    let status = claim(&bench, 9, 1_000_000);
    bench.welcome(2, status);
    bench.pass(HEADERS_MS - TICK_MS);
    // At the last moment it claims something else, and has nothing of the former.
    let status = claim(&bench, 2, 3_000_000);
    bench.ask(1, &Request::Status(Box::new(status)));
    let actions = bench.answer(1, request, &Response::Headers(Vec::new()));
    assert!(sent(&actions, 2).iter().any(is_headers), "the other one is asked now");
    assert!(!sent(&actions, 1).iter().any(is_headers));
}

#[test]
fn peers_that_the_operator_names_are_asked_before_others() {
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 3, "a");
    bench.tell(Event::Connected { peer: PeerId(1), is_reserved: true });
    bench.connect(2);
    for (peer, work) in [(3, 10_000), (1, 1_000), (2, 2_000_000)] {
        let status = bench.status(B256::with_last_byte(9), 1000, work);
        if peer == 3 {
            assert!(sent(&bench.welcome(3, status), 3).iter().any(is_headers));
        } else {
            bench.ask(peer, &Request::Status(Box::new(status)));
        }
    }
    let actions = bench.pass(HEADERS_MS + TICK_MS);
    assert!(sent(&actions, 1).iter().any(is_headers) && !sent(&actions, 2).iter().any(is_headers));
}

#[test]
fn a_body_that_the_import_waits_for_is_asked_of_somebody_else() {
    let theirs = ledger();
    for nonce in 0..40 {
        store(&theirs, nonce, nonce, 7);
        mine(&theirs, 1, "a");
    }
    let mut bench = Bench::new(MachineConfig::default());
    let status = status_of(&bench, &theirs);
    let mut wants = bench.welcome(1, status.clone());
    wants.extend(bench.welcome(2, status));
    // The first one sends headers and statuses, and no body.
    let lazy = |bench: &Bench, peer: u64, request: &Request| {
        let is_body = matches!(request, Request::Bodies(_));
        (peer != 1 || !is_body).then(|| serve_from(bench, &theirs, request))
    };
    let wants = converse(&mut bench, wants, lazy);
    assert!(sent(&wants, 1).iter().any(is_bodies) && bench.ledger.view().head().number == 0);
    let wants = bench.pass(4_000);
    converse(&mut bench, wants, lazy);
    assert_eq!(bench.ledger.view().head().number, 40, "long before the answer would be given up");
}

#[test]
fn less_is_asked_at_once_of_a_peer_whose_answers_do_not_come_in_time() {
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 3, "a");
    let status = bench.status(B256::with_last_byte(9), 1000, 1_000_000);
    let mut wants = bench.welcome(1, status.clone());
    let counts = RefCell::new(Vec::new());
    for _ in 0..60 {
        converse(&mut bench, wants, |bench, _, request| match request {
            Request::Status(_) => Some(Response::Status(Box::new(Status { clock_ms: bench.now_ms, ..status.clone() }))),
            Request::Headers { count, .. } => {
                counts.borrow_mut().push(*count);
                None
            }
            _ => None,
        });
        wants = bench.pass(2_000);
    }
    let counts = counts.into_inner();
    let most = u64::try_from(HEADERS_FIRST).unwrap();
    assert_eq!(counts[..4], [most, most / 2, most / 4, most / 8]);
}

#[test]
fn what_one_peer_does_not_have_of_a_block_is_asked_of_others() {
    let theirs = ledger();
    store(&theirs, 0, 0, 7);
    let block = mine(&theirs, 1, "a")[0].clone();
    let mut bench = Bench::new(MachineConfig::default());
    for peer in 1..=4 {
        bench.welcome_equal(peer);
    }
    let announced = Gossip::Block(Box::new(CompactBlock::of(&block))).encode();
    let is_asked = |(_, request): &(RequestId, Request)| matches!(request, Request::BlockTransactions { .. });
    let actions = bench.gossip(1, Topic::Blocks, announced);
    let (request, _) = sent(&actions, 1).into_iter().find(is_asked).unwrap();
    // The first one refuses, the second one keeps silent, the third one has them.
    let actions = bench.answer(1, request, &Response::Refused("busy".to_owned()));
    assert_eq!(verdicts(&actions), []);
    assert!(sent(&actions, 2).iter().any(is_asked));
    let actions = bench.pass(BLOCK_TRANSACTIONS_MS);
    let (request, message) = sent(&actions, 3).into_iter().find(is_asked).unwrap();
    let actions = bench.answer(3, request, &serve::answer(&theirs, &message).unwrap());
    assert_eq!(verdicts(&actions), [Verdict::Accept]);
    assert_eq!((bench.ledger.view().head().hash(), blamed(&actions)), (block.hash(), vec![]));
}

#[test]
fn a_block_that_nobody_completes_is_left_to_a_sync() {
    let theirs = ledger();
    store(&theirs, 0, 0, 7);
    let block = mine(&theirs, 1, "a")[0].clone();
    let mut bench = Bench::new(MachineConfig::default());
    (1..=4).for_each(|peer| drop(bench.welcome_equal(peer)));
    let is_asked = |(_, request): &(RequestId, Request)| matches!(request, Request::BlockTransactions { .. });
    let mut actions = bench.gossip(1, Topic::Blocks, Gossip::Block(Box::new(CompactBlock::of(&block))).encode());
    let mut asked = Vec::new();
    bench.now_ms += 2_000;
    while let Some((peer, request)) =
        (1..=4).find_map(|peer| Some((peer, sent(&actions, peer).into_iter().find(is_asked)?.0)))
    {
        asked.push(peer);
        actions = bench.answer(peer, request, &Response::Refused("busy".to_owned()));
    }
    assert_eq!(asked.len(), BLOCK_TRANSACTIONS_ASKED_MAX, "{asked:?}");
    assert_eq!((verdicts(&actions), blamed(&actions)), (vec![Verdict::Ignore], vec![]));
    // Whoever has announced it is asked where its chain is.
    assert!(sent(&actions, 1).iter().any(|(_, request)| matches!(request, Request::Status(_))));
}

#[test]
fn who_passes_on_invalid_blocks_is_blamed_up_to_a_point_and_not_cut_off() {
    let mut bench = Bench::new(MachineConfig::default());
    let block = mine(&ledger(), 1, "a")[0].header.clone();
    bench.welcome_equal(1);
    let mut points_max = 0;
    for salt in 0..50u64 {
        // Sealed and well-formed; its state root shows only when it is executed.
        let header = sealed(block.clone().into_header(), |header| {
            header.state_root = B256::from(alloy_primitives::U256::from(salt + 1));
        });
        let actions = bench.gossip(1, Topic::Blocks, announce(&header));
        assert_eq!((verdicts(&actions), parted(&actions, 1)), (vec![Verdict::Accept], None), "{salt}");
        assert_eq!(blamed(&actions).len(), 1);
        points_max = bench.machine.peer(PeerId(1), bench.now_ms).unwrap().2.max(points_max);
    }
    assert_eq!(points_max, SCORE_MAX / 2);
}

#[test]
fn announcements_of_old_blocks_have_a_share() {
    let mut bench = Bench::new(MachineConfig::default());
    let old = mine(&bench.ledger, 20, "a")[0].header.clone();
    bench.welcome_equal(1);
    let mut told = 0u64;
    let reason = loop {
        // One header makes as many announcements as one likes.
        let transactions = vec![B256::from(alloy_primitives::U256::from(told))];
        let block = CompactBlock { header: old.clone().into_header(), witness: None, transactions };
        let actions = bench.gossip(1, Topic::Blocks, Gossip::Block(Box::new(block)).encode());
        assert_eq!(verdicts(&actions), [Verdict::Ignore]);
        told += 1;
        if let Some(reason) = parted(&actions, 1) {
            break reason;
        }
        assert!(told < 10_000);
    };
    assert_eq!(reason, "announcements of old blocks beyond its share");
    assert!(told >= OLD_BLOCK_BURST + REFUSALS_MAX, "{told}");
}

#[test]
fn a_header_without_a_seal_cuts_off_whatever_its_number() {
    let mut bench = Bench::new(MachineConfig::default());
    let old = mine(&bench.ledger, 20, "a")[0].header.clone();
    bench.welcome_equal(1);
    let mut header = old.into_header();
    header.difficulty = alloy_primitives::U256::MAX;
    let actions = bench.gossip(1, Topic::Blocks, announce(&header));
    assert_eq!(verdicts(&actions), [Verdict::Reject]);
    assert!(parted(&actions, 1).unwrap().contains("seal"));
}

#[test]
fn a_block_of_the_far_future_takes_no_room() {
    let mut bench = Bench::new(MachineConfig::default());
    let block = mine(&ledger(), 1, "a")[0].header.clone();
    bench.welcome_equal(1);
    let hold = |bench: &mut Bench, seconds: u64| {
        let before = bench.machine.held_bytes();
        let header = sealed(block.clone().into_header(), |header| header.timestamp += seconds);
        assert_eq!(verdicts(&bench.gossip(1, Topic::Blocks, announce(&header))), [Verdict::Ignore]);
        bench.machine.held_bytes() - before
    };
    assert!(hold(&mut bench, 60) > 0);
    assert_eq!(hold(&mut bench, 3_600), 0);
}

#[test]
fn the_state_of_old_blocks_is_not_served() {
    let theirs = ledger();
    mine(&theirs, usize::try_from(STATE_SERVED).unwrap() + 20, "a");
    let ask = |number: u64| {
        let block = theirs.view().canonical_hash(number).unwrap().unwrap();
        serve::answer(&theirs, &Request::Accounts { block, from: B256::ZERO }).unwrap()
    };
    let finalized = theirs.view().finalized_number();
    assert!(matches!(ask(finalized - STATE_SERVED), Response::Accounts(_)));
    assert!(matches!(ask(finalized - STATE_SERVED - 1), Response::Refused(_)));
}
