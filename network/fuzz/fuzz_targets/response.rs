//! Whatever decodes as a response has this very encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use network::message::Response;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Response::decode(data) {
        assert_eq!(message.encode(), data);
    }
});
