use proptest::prelude::*;

use super::*;
use crate::device_lock::LockState;

const UNTIL: u64 = 1_000;
const NOW_MS: u64 = 900_000;

fn id(number: u8) -> B256 {
    B256::repeat_byte(number)
}

fn wants(number: u8) -> LockState {
    LockState {
        lock: Some(Position::Open),
        job: Some(id(number)),
        until: Some(UNTIL),
        code: Some(format!("code {number}")),
        ..LockState::default()
    }
}

fn reports(number: u8, lock: Position) -> LockState {
    LockState { lock: Some(lock), job: Some(id(number)), ..LockState::default() }
}

fn shadow(version: u64, desired: LockState, reported: LockState) -> LockShadow {
    LockShadow { version, desired, reported }
}

fn action(device: &Device, now_ms: u64) -> Option<Action> {
    reconcile(device, now_ms).map(|command| command.action)
}

const SETTLED: Outcome = Outcome::Settled { released_at: 950, opened: false };

#[test]
fn a_job_goes_from_desire_to_a_fact_on_the_chain() {
    let mut device = Device::default();
    assert_eq!(action(&device, NOW_MS), None, "nothing differs");
    device.see(shadow(1, wants(1), LockState::default()));
    assert_eq!(action(&device, NOW_MS), Some(Action::Release));
    device.learn(id(1), Action::Release, &Outcome::Sent, NOW_MS);
    assert_eq!(action(&device, NOW_MS), Some(Action::Look));
    device.learn(id(1), Action::Look, &Outcome::Again, NOW_MS);
    assert_eq!(action(&device, NOW_MS), None, "it pauses");
    assert_eq!(action(&device, NOW_MS + 40), Some(Action::Look));
    device.learn(id(1), Action::Look, &SETTLED, NOW_MS);
    assert_eq!(action(&device, NOW_MS), Some(Action::Announce));
    let announced = LockState { released: Some(950), ..wants(1) };
    device.see(shadow(2, announced.clone(), LockState::default()));
    assert_eq!(action(&device, NOW_MS), None, "the device has the word");
    device.see(shadow(3, announced, reports(1, Position::Open)));
    assert_eq!(action(&device, NOW_MS), Some(Action::Clear));
    device.learn(id(1), Action::Clear, &Outcome::Done, NOW_MS);
    assert_eq!(action(&device, NOW_MS), None);
    device.see(shadow(4, LockState::default(), reports(1, Position::Open)));
    assert_eq!(action(&device, NOW_MS + 200), Some(Action::Record));
    device.learn(id(1), Action::Record, &Outcome::Done, NOW_MS);
    assert_eq!(action(&device, NOW_MS), None);
    assert_eq!(action(&device, NOW_MS + 40), Some(Action::Record), "until it is settled");
    device.learn(id(1), Action::Record, &Outcome::Settled { released_at: 950, opened: true }, NOW_MS);
    assert_eq!(action(&device, u64::MAX), None, "nothing differs");
}

#[test]
fn a_lock_that_the_bridge_drives_is_driven_once() {
    let mut device = Device { driven: true, ..Device::default() };
    device.see(shadow(1, wants(1), LockState::default()));
    device.learn(id(1), Action::Release, &SETTLED, NOW_MS);
    assert_eq!(action(&device, NOW_MS), Some(Action::Drive));
    device.learn(id(1), Action::Drive, &Outcome::Done, NOW_MS);
    for _ in 0..3 {
        assert_eq!(action(&device, NOW_MS + 5_000), None);
        device.see(shadow(2, wants(1), LockState::default()));
        device.learn(id(1), Action::Look, &SETTLED, NOW_MS);
    }
    device.see(shadow(3, wants(1), reports(1, Position::Open)));
    assert_eq!(action(&device, NOW_MS + 5_000), Some(Action::Clear));
}

#[test]
fn stale_versions_are_dropped_and_equal_ones_are_not() {
    let mut device = Device::default();
    assert!(device.see(shadow(5, LockState::default(), LockState::default())));
    assert!(!device.see(shadow(4, wants(1), LockState::default())));
    assert_eq!(device.job, None);
    assert!(device.see(shadow(5, wants(1), LockState::default())));
    assert_eq!(device.job.map(|job| job.id), Some(id(1)));
}

#[test]
fn a_device_that_does_not_comply_is_told_of_once() {
    let mut device = Device::default();
    let announced = LockState { released: Some(950), ..wants(1) };
    device.see(shadow(1, announced, LockState::default()));
    device.learn(id(1), Action::Release, &SETTLED, NOW_MS);
    assert_eq!(action(&device, UNTIL * 1000 + 1), None, "it may be on its way");
    let late = UNTIL * 1000 + REPORT_GRACE_MS + 1;
    assert_eq!(action(&device, late), Some(Action::Alarm));
    device.learn(id(1), Action::Alarm, &Outcome::Done, late);
    assert_eq!(action(&device, late), Some(Action::Clear));
    device.see(shadow(2, LockState::default(), LockState::default()));
    assert_eq!(action(&device, late), None);
}

#[test]
fn a_job_whose_time_is_over_is_not_released() {
    let mut device = Device::default();
    device.see(shadow(1, wants(1), LockState::default()));
    assert_eq!(action(&device, UNTIL * 1000), Some(Action::Release));
    assert_eq!(action(&device, UNTIL * 1000 + 1), None);
    assert_eq!(action(&device, UNTIL * 1000 + REPORT_GRACE_MS + 1), Some(Action::Clear));
}

#[test]
fn a_job_that_the_chain_refuses_is_cleared_and_a_rejected_one_too() {
    let mut device = Device::default();
    device.see(shadow(1, wants(1), LockState::default()));
    device.learn(id(1), Action::Release, &Outcome::Refused, NOW_MS);
    assert_eq!(action(&device, NOW_MS), Some(Action::Clear));
    device.see(shadow(2, LockState::default(), LockState::default()));
    assert_eq!(action(&device, NOW_MS), None);
    device.see(shadow(3, wants(2), LockState::default()));
    assert_eq!(action(&device, NOW_MS), Some(Action::Release), "the next one begins anew");
    let rejected = LockState { job: Some(id(2)), rejected: Some("expired".to_owned()), ..LockState::default() };
    device.see(shadow(4, wants(2), rejected));
    assert_eq!(action(&device, NOW_MS), Some(Action::Clear));
}

#[test]
fn a_released_job_is_not_forgotten_for_another() {
    let mut device = Device::default();
    device.see(shadow(1, wants(1), LockState::default()));
    device.learn(id(1), Action::Release, &Outcome::Sent, NOW_MS);
    device.see(shadow(2, wants(2), LockState::default()));
    assert_eq!(device.job.as_ref().map(|job| job.id), Some(id(1)));
    device.see(shadow(3, wants(2), reports(1, Position::Open)));
    device.see(shadow(3, wants(2), reports(1, Position::Closed)));
    assert_eq!(device.job.as_ref().map(|job| job.id), Some(id(2)), "once it is opened, the next one's turn comes");
}

#[test]
fn an_opening_is_recorded_even_when_the_next_job_has_begun() {
    let mut device = Device::default();
    device.see(shadow(1, wants(1), LockState::default()));
    device.learn(id(1), Action::Release, &SETTLED, NOW_MS);
    device.see(shadow(2, wants(2), reports(1, Position::Open)));
    assert_eq!(reconcile(&device, NOW_MS), Some(Command { job: id(2), number: 1, action: Action::Release }));
    device.learn(id(2), Action::Release, &Outcome::Again, NOW_MS);
    assert_eq!(reconcile(&device, NOW_MS), Some(Command { job: id(1), number: 1, action: Action::Record }));
    device.learn(id(1), Action::Record, &Outcome::Settled { released_at: 950, opened: true }, NOW_MS);
    assert_eq!(reconcile(&device, NOW_MS), None);
    assert_eq!(device.recording, []);
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Event {
    See(Box<LockShadow>),
    Learn(u8, Action, Outcome),
    Wait(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let actions = [Action::Release, Action::Look, Action::Announce, Action::Record, Action::Clear, Action::Alarm];
    let outcomes = [Outcome::Sent, SETTLED, Outcome::Again, Outcome::Refused, Outcome::Done];
    let state = prop_oneof![Just(LockState::default()), (1_u8..4).prop_map(wants)];
    let reported = prop_oneof![Just(LockState::default()), (1_u8..4).prop_map(|n| reports(n, Position::Open))];
    prop_oneof![
        (1_u64..30, state, reported)
            .prop_map(|(version, desired, reported)| Event::See(Box::new(shadow(version, desired, reported)))),
        (1_u8..4, prop::sample::select(actions.to_vec()), prop::sample::select(outcomes.to_vec()))
            .prop_map(|(number, action, outcome)| Event::Learn(number, action, outcome)),
        (0_u64..20_000).prop_map(Event::Wait),
    ]
}

proptest! {
    /// Whatever comes in whatever order: a job is driven at most once, only after its release is settled, and in its time.
    #[test]
    fn nothing_is_driven_twice_or_before_its_release(events in prop::collection::vec(any_event(), 0..60)) {
        let mut device = Device { driven: true, ..Device::default() };
        let (mut now_ms, mut driven, mut settled) = (NOW_MS, Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::See(shadow) => { device.see(*shadow); }
                Event::Learn(number, action, outcome) => {
                    let before = device.job.as_ref().map(|job| (job.id, job.stage));
                    device.learn(id(number), action, &outcome, now_ms);
                    let after = device.job.as_ref().map(|job| (job.id, job.stage));
                    if before != after && matches!(outcome, Outcome::Settled { .. }) {
                        settled.push(id(number));
                    }
                }
                Event::Wait(ms) => now_ms += ms,
            }
            if let Some(command) = reconcile(&device, now_ms)
                && command.action == Action::Drive
            {
                let job = device.job.clone().unwrap();
                prop_assert!(settled.contains(&job.id));
                prop_assert!(now_ms <= job.until * 1000);
                prop_assert!(!driven.contains(&job.id));
                driven.push(job.id);
                device.learn(job.id, Action::Drive, &Outcome::Done, now_ms);
                prop_assert!(reconcile(&device, now_ms).is_none_or(|next| next.action != Action::Drive));
            }
        }
    }
}
