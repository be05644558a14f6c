//! Limits that take much to reach: each is reached, holds, and makes room again.

use std::collections::VecDeque;

use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, TxKind};
use consensus::{RecoveredTransaction, SealedHeader, Transaction, crypto};
use network::machine::limits::*;
use network::machine::*;
use network::message::limits::{HEADERS_MAX, NOTICES_MAX};
use network::message::*;

use crate::bench::*;
use crate::sync::{honest, serve_all, status_of};

/// A transaction with this many bytes of input.
fn long_transaction(bytes: usize, nonce: u64) -> Transaction {
    let tx = TxLegacy { nonce, to: TxKind::Call(CELL), input: vec![1; bytes].into(), ..TxLegacy::default() };
    let signature = crypto::sign(&crypto::secret_key([9; 32]).unwrap(), tx.signature_hash());
    tx.into_signed(signature).into()
}

/// Announces a block beside `sibling` that holds one long transaction, and serves the transaction where it is asked for. Tells whether
/// it was.
fn announce_side(bench: &mut Bench, sibling: &SealedHeader, bytes: usize, salt: u64) -> bool {
    let transaction = long_transaction(bytes, salt);
    let header = sealed(sibling.clone().into_header(), |header| {
        header.transactions_root =
            alloy_consensus::proofs::calculate_transaction_root(std::slice::from_ref(&transaction));
        header.gas_used = 21_000;
    });
    let transactions = vec![*transaction.tx_hash()];
    let block = CompactBlock { header: header.into_header(), witness: None, transactions };
    let actions = bench.gossip(1, Topic::Blocks, Gossip::Block(Box::new(block)).encode());
    assert_eq!(parted(&actions, 1), None);
    let Some((request, message)) = sent(&actions, 1).into_iter().find(|(_, sent)| !matches!(sent, Request::Status(_)))
    else {
        assert_eq!(verdicts(&actions), [Verdict::Ignore]);
        return false;
    };
    assert!(matches!(message, Request::BlockTransactions { .. }));
    let actions = bench.answer(1, request, &Response::BlockTransactions(vec![transaction.encoded_2718()]));
    assert_eq!((verdicts(&actions), parted(&actions, 1)), (vec![Verdict::Accept], None));
    true
}

#[test]
fn side_branches_are_bounded_until_they_are_finalized_away() {
    const BYTES: usize = 3 << 20;
    let mut bench = Bench::new(MachineConfig::default());
    let ours = mine(&bench.ledger, 5, "ours");
    bench.welcome_equal(1);
    let (mut taken, sibling) = (0, &ours[2].header);
    while announce_side(&mut bench, sibling, BYTES, taken) {
        taken += 1;
        assert!(taken < 100);
    }
    let held = usize::try_from(taken).unwrap() * BYTES;
    assert!((SIDE_BYTES_MAX - BYTES..SIDE_BYTES_MAX + BYTES).contains(&held), "{taken} blocks of {BYTES} bytes");
    // A small one has no room either; what extends the head has.
    assert!(!announce_side(&mut bench, sibling, 10, 1000));
    let own = mine(&bench.ledger, 1, "more")[0].clone();
    bench.tell(Event::NewHead { added: vec![std::sync::Arc::new(own)] });
    // Six blocks later all that is final, and there is room.
    let more = mine(&bench.ledger, 4, "more");
    let added = more.iter().cloned().map(std::sync::Arc::new).collect();
    bench.tell(Event::NewHead { added });
    assert_eq!(bench.ledger.view().finalized_number(), 4);
    assert!(announce_side(&mut bench, &more[1].header, BYTES, 2000));
}

/// Headers that follow `parent`, with bodies that nobody has; another `salt` makes another branch.
pub(crate) fn headers_after(parent: &SealedHeader, count: usize, salt: u8) -> Vec<WitnessedHeader> {
    let (spec, mut parent) = (genesis().spec, parent.clone());
    (0..count)
        .map(|_| {
            let header = sealed(parent.clone().into_header(), |header| {
                header.parent_hash = parent.hash();
                header.mix_hash = consensus::seal::next_mix_hash(&parent);
                header.number = parent.number + 1;
                header.timestamp = START_MS / 1000;
                header.transactions_root = B256::repeat_byte(0xbb ^ salt);
                header.gas_used = 21_000;
                header.base_fee_per_gas =
                    Some(consensus::fees::next_base_fee(&spec, &parent, header.timestamp).unwrap());
            });
            parent = header.clone();
            WitnessedHeader { header: header.into_header(), witness: None }
        })
        .collect()
}

#[test]
fn headers_wait_for_their_bodies_up_to_a_limit() {
    let mut bench = Bench::new(MachineConfig::default());
    let first = mine(&bench.ledger, 1, "a")[0].header.clone();
    let headers = headers_after(&first, HEADERS_AHEAD_MAX + 2 * HEADERS_MAX, 0);
    let last = headers.last().unwrap().header.hash_slow();
    // The claim is borne out by the first of them.
    let status = bench.status(last, 1 + u64::try_from(headers.len()).unwrap(), 600);
    let mut open = VecDeque::from(sent(&bench.welcome(1, status), 1));
    let (mut at, mut bodies) = (0, Vec::new());
    while let Some((request, message)) = open.pop_front() {
        match message {
            Request::Headers { count, .. } => {
                let next = &headers[at..(at + usize::try_from(count).unwrap()).min(headers.len())];
                at += next.len();
                let actions = bench.answer(1, request, &Response::Headers(next.to_vec()));
                assert_eq!(parted(&actions, 1), None);
                open.extend(sent(&actions, 1));
            }
            Request::Bodies(hashes) => bodies.extend(hashes),
            _ => {}
        }
    }
    let as_many = HEADERS_AHEAD_MAX - HEADERS_MAX + 1..=HEADERS_AHEAD_MAX;
    assert!(as_many.contains(&at), "no more headers than {at} are asked for while these wait");
    assert!(bodies.len() <= REQUESTS_PER_PEER_MAX * BODIES_PER_REQUEST);
    assert!(bench.machine.held_bytes() <= HEADERS_AHEAD_MAX * 1200 + 4096);
}

#[test]
fn imports_are_on_their_way_up_to_a_limit() {
    let theirs = ledger();
    mine(&theirs, 300, "a");
    let mut bench = Bench::new(MachineConfig::default());
    bench.holds_imports = true;
    serve_all(&mut bench, &theirs, &[1], honest);
    assert_eq!(bench.held.len(), IMPORTS_AHEAD_MAX);
    for _ in 0..300 {
        bench.import_next();
        assert!(bench.held.len() <= IMPORTS_AHEAD_MAX);
    }
    assert_eq!((bench.held.len(), bench.ledger.view().head().number), (0, 300));
}

#[test]
fn blocks_that_a_sync_has_brought_are_news_to_nobody_whatever_is_told_first() {
    let theirs = ledger();
    mine(&theirs, 20, "a");
    let mut bench = Bench::new(MachineConfig::default());
    bench.holds_imports = true;
    let published = |wants: &[Action]| wants.iter().filter(|want| matches!(want, Action::Publish { .. })).count();
    let mut count = published(&serve_all(&mut bench, &theirs, &[1], honest));
    while let Some(block) = bench.held.pop_front() {
        // The end of the import first, then the ledger's fact.
        let hash = block.hash();
        let result = bench.ledger.import(block.clone(), bench.now_ms / 1000);
        count += published(&bench.tell(Event::Imported { hash, result }));
        count += published(&bench.tell(Event::NewHead { added: vec![std::sync::Arc::new(block)] }));
    }
    assert_eq!((bench.ledger.view().head().number, count), (20, 1), "the last head alone is told");
}

#[test]
fn gossiped_blocks_are_on_their_way_up_to_a_limit() {
    let mut bench = Bench::new(MachineConfig::default());
    bench.holds_imports = true;
    let theirs = ledger();
    let block = mine(&theirs, 1, "a")[0].header.clone();
    bench.welcome_equal(1);
    let mut said = Vec::new();
    for salt in 0..200u64 {
        let header = sealed(block.clone().into_header(), |header| {
            header.extra_data = salt.to_be_bytes().to_vec().into();
        });
        said.extend(verdicts(&bench.gossip(1, Topic::Blocks, announce(&header))));
    }
    let accepted = said.iter().filter(|verdict| **verdict == Verdict::Accept).count();
    assert_eq!((said.len(), accepted, bench.held.len()), (200, 2 * IMPORTS_AHEAD_MAX, 2 * IMPORTS_AHEAD_MAX));
    assert!(said.iter().all(|verdict| *verdict != Verdict::Reject));
}

#[test]
fn no_more_than_one_announcement_of_transactions_waits() {
    let mut bench = Bench::new(MachineConfig::default());
    let mut announced = Vec::new();
    for nonce in 0..u64::try_from(3 * NOTICES_MAX).unwrap() - 1 {
        let tx = RecoveredTransaction::with_sender(long_transaction(1, nonce), CELL);
        for action in bench.tell(Event::NewTransaction(tx)) {
            let Action::Publish { topic, data } = action else { continue };
            let Ok(Gossip::Transactions(announcement)) = Gossip::decode(topic, &data) else {
                panic!("no announcement")
            };
            announced.push(announcement.notices.len());
        }
    }
    assert_eq!(announced, [NOTICES_MAX; 2]);
    // The rest is told when it was gathered for long enough.
    let rest = bench.pass(TICK_MS);
    assert_eq!(rest.iter().filter(|action| matches!(action, Action::Publish { .. })).count(), 1);
}

#[test]
fn a_snapshot_that_is_too_large_is_not_taken() {
    let theirs = ledger();
    for block in 0..30u64 {
        (block * 20..block * 20 + 20).for_each(|nonce| store(&theirs, nonce, nonce, 7));
        mine(&theirs, 1, "theirs");
    }
    let config = |bytes| MachineConfig {
        start_from_snapshot: true,
        snapshot_distance_min: 8,
        snapshot_bytes_max: bytes,
        ..MachineConfig::default()
    };
    let alarms = |wants: &[Action]| -> Vec<String> {
        wants
            .iter()
            .filter_map(|want| if let Action::Alarm(alarm) = want { Some(alarm.to_string()) } else { None })
            .collect()
    };
    // The headers fit and the state does not; then the headers do not.
    for (bytes, text) in [(50_000, "the state is larger than 50000 bytes"), (20_000, "are too many")] {
        let mut bench = Bench::new(config(bytes));
        let told = alarms(&serve_all(&mut bench, &theirs, &[1], honest));
        assert!(told.len() == 1 && told[0].contains(text), "{told:?}");
        // The chain is executed from its beginning.
        assert_eq!((bench.ledger.view().head().number, bench.ledger.view().base_number()), (30, 0));
    }
    let mut bench = Bench::new(config(SNAPSHOT_BYTES_MAX));
    let status = Status { finalized: 600_000, ..status_of(&bench, &theirs) };
    let told = alarms(&bench.welcome(1, status));
    assert!(told.len() == 1 && told[0].contains("600000 headers, as a peer says it has, are too many"), "{told:?}");
}

#[test]
fn whoever_gossips_without_a_word_about_itself_is_cut_off() {
    let mut bench = Bench::new(MachineConfig::default());
    bench.connect(1);
    let mut told = 0;
    let reason = loop {
        let actions = bench.gossip(1, Topic::Transactions, vec![0xff; 10]);
        assert_eq!(verdicts(&actions), [Verdict::Ignore]);
        told += 1;
        if let Some(reason) = parted(&actions, 1) {
            break reason;
        }
    };
    assert_eq!((told, reason.as_str()), (STRANGER_GOSSIP_MAX + 1, "256 gossip messages and no status"));
    assert!(parted(&bench.connect(1), 1).unwrap().starts_with("cut off before"));
    // An honest peer's first messages may come before its status.
    bench.connect(2);
    let actions =
        bench.gossip(2, Topic::Transactions, Gossip::Transactions(Announcement { salt: 1, notices: vec![] }).encode());
    assert_eq!(parted(&actions, 2), None);
    assert_eq!(parted(&bench.welcome_equal(2), 2), None);
}
