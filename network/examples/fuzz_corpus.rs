//! Writes valid messages, as a fuzzer begins with: `fuzz_corpus FOLDER COUNT SEED` makes a folder for each kind below FOLDER.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;

use network::message::{Gossip, Request, Response, Topic};

#[path = "../tests/messages/arbitrary.rs"]
mod arbitrary;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count, seed] = &arguments[..] else {
        eprintln!("usage: fuzz_corpus FOLDER COUNT SEED");
        std::process::exit(2);
    };
    let messages =
        arbitrary::corpus(seed.parse().expect("SEED is a number"), count.parse().expect("COUNT is a number"));
    for (index, message) in messages.iter().enumerate() {
        let kinds = [
            ("request", Request::decode(message).is_ok()),
            ("response", Response::decode(message).is_ok()),
            ("blocks", Gossip::decode(Topic::Blocks, message).is_ok()),
            ("transactions", Gossip::decode(Topic::Transactions, message).is_ok()),
        ];
        for (kind, _) in kinds.into_iter().filter(|(_, is_it)| *is_it) {
            let folder = Path::new(folder).join(kind);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("seed-{seed}-{index}")), message).unwrap();
        }
    }
}
