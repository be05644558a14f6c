//! A long search: of every kind of message, valid ones are mutated in their structure and in their bytes. Whatever comes out is a
//! message with this very encoding, or is refused; decoding never panics, and takes memory in proportion to what came.

use network::message::limits::*;
use network::message::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::arbitrary::corpus;
use crate::mutate::{below, mutate};
use crate::{around, decode_all};

/// How many mutants of each kind are tried where `FUZZ` says nothing.
const MUTANTS_DEFAULT: usize = 2_000;
/// How many kinds there are: two of gossip, nine of requests, ten of responses.
const KINDS: usize = 21;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn mutated_messages_are_messages_or_refused() {
    let seed = variable("SEED").unwrap_or(1);
    let mutants = variable("FUZZ").map_or(MUTANTS_DEFAULT, |count| usize::try_from(count).unwrap()) * KINDS;
    println!("{mutants} mutants, seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut messages, mut taken) = (Vec::new(), 0);
    for index in 0..mutants {
        if index % 10_000 == 0 {
            // The corpus is renewed now and then, so that a long search sees other messages.
            messages = corpus(seed.wrapping_add(u64::try_from(index).unwrap()), 200);
        }
        let message = &messages[below(&mut rng, messages.len())];
        let other = &messages[below(&mut rng, messages.len())];
        let mutant = mutate(message, other, &mut rng);
        let ran = std::panic::catch_unwind(|| decode_all(&mutant));
        assert!(ran.is_ok(), "seed {seed}, mutant {index}: {}", alloy_primitives::hex::encode(&mutant));
        taken += usize::from(Request::decode(&mutant).is_ok() || Response::decode(&mutant).is_ok());
    }
    // Else the mutations would be so coarse that nothing behind the first check was reached.
    assert!(taken * 100 > mutants, "{taken} of {mutants} mutants are messages");
}

/// The most memory that this process has had, in bytes; `None` where the system does not tell.
fn peak_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

#[test]
fn decoding_takes_memory_in_proportion_to_what_came() {
    let long = |byte: u8, bytes: usize| vec![byte; bytes];
    let list = |byte: u8, bytes: usize| {
        let payload = long(byte, bytes - 5);
        [&[0xfb][..], &u32::try_from(payload.len()).unwrap().to_be_bytes(), &payload].concat()
    };
    let Some(before) = peak_bytes() else { return };
    for byte in [0xc0, 0x80, 0x01, 0xc1] {
        for kind in 0..12 {
            drop(Response::decode(&around(kind, &list(byte, RESPONSE_BYTES_MAX - 64))));
            drop(Request::decode(&around(kind, &list(byte, REQUEST_BYTES_MAX - 64))));
        }
        drop(Response::decode(&list(byte, RESPONSE_BYTES_MAX)));
        for topic in Topic::ALL {
            drop(Gossip::decode(topic, &list(byte, GOSSIP_BYTES_MAX)));
        }
    }
    let grown = peak_bytes().unwrap().saturating_sub(before);
    // The list, its payload, the message around it, twice over while it grows; and as much again for the decoder.
    assert!(grown <= 8 * RESPONSE_BYTES_MAX, "{} MB", grown >> 20);
}
