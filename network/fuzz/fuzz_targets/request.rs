//! Whatever decodes as a request has this very encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use network::message::Request;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Request::decode(data) {
        assert_eq!(message.encode(), data);
    }
});
