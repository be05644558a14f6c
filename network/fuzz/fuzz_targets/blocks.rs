//! Whatever decodes as the announcement of a block has this very encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use network::message::{Gossip, Topic};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Gossip::decode(Topic::Blocks, data) {
        assert_eq!(message.encode(), data);
    }
});
