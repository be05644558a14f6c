//! Catching up with peers that are right, wrong, gone, or on another branch.

use std::collections::VecDeque;

use chain::LedgerHandle;
use network::machine::limits::HEADERS_FIRST;
use network::machine::*;
use network::message::*;

use crate::bench::*;

/// The status of a node whose chain is that of `theirs`.
pub(crate) fn status_of(bench: &Bench, theirs: &LedgerHandle) -> Status {
    let view = theirs.view();
    let work = u64::try_from(view.head_td()).unwrap();
    let finalized = view.finalized_number();
    Status {
        finalized,
        finalized_hash: view.canonical_hash(finalized).unwrap().unwrap(),
        ..bench.status(view.head().hash(), view.head().number, work)
    }
}

/// Connects peers that serve the chain of `theirs`, and answers until nothing is asked any more. Returns all that the machine wanted.
pub(crate) fn serve_all(
    bench: &mut Bench,
    theirs: &LedgerHandle,
    peers: &[u64],
    spoil: impl Fn(u64, Response) -> Response,
) -> Vec<Action> {
    let mut wants = Vec::new();
    for peer in peers {
        let status = status_of(bench, theirs);
        wants.extend(bench.welcome(*peer, status));
    }
    let mut open: VecDeque<_> =
        peers.iter().flat_map(|peer| sent(&wants, *peer).into_iter().map(|sent| (*peer, sent))).collect();
    while let Some((peer, (request, message))) = open.pop_front() {
        let response = match message {
            Request::Status(_) => Response::Status(Box::new(status_of(bench, theirs))),
            other => serve::answer(theirs, &other).unwrap(),
        };
        let actions = bench.answer(peer, request, &spoil(peer, response));
        for peer in peers {
            open.extend(sent(&actions, *peer).into_iter().map(|sent| (*peer, sent)));
        }
        wants.extend(actions);
    }
    wants
}

/// Answers whatever the peers are asked, peer by peer, until nothing is asked any more; `None` leaves a request unanswered.
pub(crate) fn converse(
    bench: &mut Bench,
    mut wants: Vec<Action>,
    answer: impl Fn(&Bench, u64, &Request) -> Option<Response>,
) -> Vec<Action> {
    let mut at = 0;
    while at < wants.len() {
        if let Action::Send { peer, request, message } = &wants[at]
            && let Some(response) = answer(bench, peer.0, message)
        {
            let more = bench.answer(peer.0, *request, &response);
            wants.extend(more);
        }
        at += 1;
    }
    wants
}

/// Answers as a node whose chain is that of `ledger`.
pub(crate) fn serve_from(bench: &Bench, ledger: &LedgerHandle, request: &Request) -> Response {
    match request {
        Request::Status(_) => Response::Status(Box::new(status_of(bench, ledger))),
        other => serve::answer(ledger, other).unwrap(),
    }
}

pub(crate) fn honest(_: u64, response: Response) -> Response {
    response
}

#[test]
fn a_long_chain_is_fetched_from_several_peers() {
    let theirs = ledger();
    mine(&theirs, 1200, "a");
    let mut bench = Bench::new(MachineConfig::default());
    let wants = serve_all(&mut bench, &theirs, &[1, 2, 3], honest);
    assert_eq!(bench.ledger.view().head().hash(), theirs.view().head().hash());
    assert!(wants.iter().all(|action| !matches!(action, Action::Punish { .. } | Action::Disconnect { .. })));
    assert_eq!(bench.machine.progress(&bench.ledger, bench.now_ms), None);
}

#[test]
fn a_heavier_branch_replaces_ours_and_a_lighter_one_does_not() {
    let theirs = ledger();
    mine(&theirs, 5, "theirs");
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 3, "ours");
    serve_all(&mut bench, &theirs, &[1], honest);
    assert_eq!(bench.ledger.view().head().hash(), theirs.view().head().hash());
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 5, "ours");
    let wants = serve_all(&mut bench, &theirs, &[1], honest);
    assert_ne!(bench.ledger.view().head().hash(), theirs.view().head().hash());
    assert!(
        wants.iter().all(
            |action| !matches!(action, Action::Send { message, .. } if matches!(**message, Request::Headers { .. }))
        )
    );
}

#[test]
fn a_heavier_branch_below_finalized_is_refused_with_an_alarm() {
    let theirs = ledger();
    mine(&theirs, 30, "theirs");
    let mut bench = Bench::new(MachineConfig::default());
    let ours = mine(&bench.ledger, 20, "ours");
    let wants = serve_all(&mut bench, &theirs, &[1], honest);
    assert_eq!(bench.ledger.view().head().hash(), ours[19].hash());
    let alarms: Vec<_> = wants
        .iter()
        .filter_map(|action| match action {
            Action::Alarm(alarm) => Some(alarm.clone()),
            _ => None,
        })
        .collect();
    let head = theirs.view().head().hash();
    assert_eq!(alarms, [Alarm::BelowFinalized { peer: PeerId(1), head, head_number: 30, ancestor: 0, finalized: 14 }]);
    // No body was asked for, and nobody is to blame.
    let bodies =
        |action: &&Action| matches!(action, Action::Send { message, .. } if matches!(**message, Request::Bodies(_)));
    assert_eq!(wants.iter().filter(bodies).count(), 0);
    assert!(wants.iter().all(|action| !matches!(action, Action::Punish { .. })));
}

#[test]
fn a_header_that_breaks_a_rule_cuts_its_sender_off_and_the_others_serve_on() {
    let theirs = ledger();
    mine(&theirs, 40, "a");
    let spoil = |peer: u64, response: Response| match response {
        Response::Headers(mut headers) if peer == 1 => {
            if let Some(header) = headers.get_mut(20) {
                header.header.gas_used = header.header.gas_limit + 1;
            }
            Response::Headers(headers)
        }
        other => other,
    };
    let mut bench = Bench::new(MachineConfig::default());
    let wants = serve_all(&mut bench, &theirs, &[1, 2], spoil);
    assert!(parted(&wants, 1).is_some());
    assert_eq!(bench.ledger.view().head().hash(), theirs.view().head().hash());
}

#[test]
fn a_sync_goes_on_where_another_one_ended() {
    let theirs = ledger();
    let blocks = mine(&theirs, 20, "theirs");
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 4, "ours");
    // Three blocks of the heavier branch are stored beside ours, as a sync leaves them that was broken off.
    for block in &blocks[..3] {
        bench.ledger.import(block.clone(), bench.now_ms / 1000).unwrap();
    }
    let wants = serve_all(&mut bench, &theirs, &[1], honest);
    assert_eq!(bench.ledger.view().head().hash(), theirs.view().head().hash());
    assert!(wants.iter().all(|action| !matches!(action, Action::Punish { .. })));
}

#[test]
fn the_next_headers_are_asked_for_while_the_last_ones_are_verified() {
    let theirs = ledger();
    mine(&theirs, 1200, "theirs");
    let mut bench = Bench::new(MachineConfig::default());
    let status = status_of(&bench, &theirs);
    let actions = bench.welcome(1, status);
    let headers_of = |actions: &[Action]| {
        sent(actions, 1).into_iter().find(|(_, request)| matches!(request, Request::Headers { .. }))
    };
    // Who has shown nothing yet is asked for few, and not ahead.
    let (request, message) = headers_of(&actions).unwrap();
    assert!(matches!(message, Request::Headers { count, .. } if count == HEADERS_FIRST as u64));
    let answer = serve::answer(&theirs, &message).unwrap();
    bench.holds_jobs = true;
    assert!(headers_of(&bench.answer(1, request, &answer)).is_none());
    let (request, message) = headers_of(&bench.run_held()).unwrap();
    let answer = serve::answer(&theirs, &message).unwrap();
    let result = Ok(answer.encode().into());
    let actions = bench.tell(Event::Response { peer: PeerId(1), request, result });
    let (request, message) = headers_of(&actions).expect("the next ones");
    // They come before the job is done, and wait for it; nothing more is asked for meanwhile.
    let answer = serve::answer(&theirs, &message).unwrap();
    assert!(headers_of(&bench.answer(1, request, &answer)).is_none());
    assert_eq!(bench.held_jobs.len(), 1, "they are verified one after the other");
    bench.holds_jobs = false;
    let actions = bench.run_held();
    converse(&mut bench, actions, |bench, _, request| Some(serve_from(bench, &theirs, request)));
    assert_eq!(bench.ledger.view().head().hash(), theirs.view().head().hash());
}

#[test]
fn a_peer_that_vanishes_leaves_the_sync_to_the_others() {
    let theirs = ledger();
    mine(&theirs, 30, "a");
    let mut bench = Bench::new(MachineConfig::default());
    let view = theirs.view();
    let status = bench.status(view.head().hash(), 30, u64::try_from(view.head_td()).unwrap());
    let wants = bench.welcome(1, status);
    assert!(sent(&wants, 1).iter().any(|(_, sent)| matches!(sent, Request::Headers { .. })));
    bench.tell(Event::Disconnected { peer: PeerId(1) });
    serve_all(&mut bench, &theirs, &[2], honest);
    assert_eq!(bench.ledger.view().head().hash(), view.head().hash());
}

#[test]
fn a_block_that_is_announced_by_its_header_alone_is_fetched_whole() {
    let theirs = ledger();
    store(&theirs, 0, 0, 7);
    let block = mine(&theirs, 1, "a")[0].clone();
    assert_eq!(block.transactions.len(), 1);
    let mut bench = Bench::new(MachineConfig::default());
    let bare = CompactBlock { transactions: Vec::new(), ..CompactBlock::of(&block) };
    let announced = Gossip::Block(Box::new(bare)).encode();
    let asked = Request::BlockTransactions { block: block.hash(), transactions: Vec::new() };
    let Response::BlockTransactions(all) = serve::answer(&theirs, &asked).unwrap() else { panic!("another kind") };
    assert_eq!(all.len(), 1);
    // None of them, others than those, and too many: the announcement is not to blame.
    let wrong = [vec![], vec![all[0].clone(), all[0].clone()], vec![vec![1]]];
    for (peer, answer) in (1u64..).zip(wrong.into_iter().chain([all])) {
        bench.welcome_equal(peer);
        let actions = bench.gossip(peer, Topic::Blocks, announced.clone());
        let sent = sent(&actions, peer);
        let (request, _) = sent.iter().find(|(_, message)| *message == asked).expect("all are asked for");
        let is_right = answer.len() == 1 && answer[0].len() > 1;
        let is_lie = !answer.is_empty() && !is_right;
        let actions = bench.answer(peer, *request, &Response::BlockTransactions(answer));
        assert_eq!(verdicts(&actions), [if is_right { Verdict::Accept } else { Verdict::Ignore }], "{peer}");
        let blamed =
            actions.iter().any(|action| matches!(action, Action::Punish { offence: Offence::WrongResponse, .. }));
        assert_eq!(blamed, is_lie, "{peer}");
    }
    assert_eq!(bench.ledger.view().head().hash(), block.hash());
}
