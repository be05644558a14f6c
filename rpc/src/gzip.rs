//! Compression of HTTP bodies, as clients ask for it.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

/// Answers shorter than this are not worth the work: they fit a packet or two.
pub(crate) const BYTES_MIN: usize = 2048;
/// Longer bodies than this are not worked on by a thread of the network.
pub(crate) const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Fast rather than small: most of the gain comes with the first level.
const LEVEL: Compression = Compression::fast();

/// How a request's body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Plain,
    /// Compressed.
    Gzip,
}

/// Says how a request's body comes; `None`: in a way that is not understood.
pub(crate) fn of_request(headers: &HeaderMap) -> Option<Coding> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Some(Coding::Plain) };
    match value.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Some(Coding::Plain),
        "gzip" | "x-gzip" => Some(Coding::Gzip),
        _ => None,
    }
}

/// Tells whether a client takes a compressed answer. What it gives weight 0 it does not take (RFC 9110, 12.5.3).
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut named = None;
    let mut any = None;
    for coding in values.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let is_wanted = weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0));
        match name.as_str() {
            "gzip" | "x-gzip" => named = Some(is_wanted),
            "*" => any = Some(is_wanted),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

/// Compresses an answer.
pub(crate) fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), LEVEL);
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Says why a body cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// It is longer than allowed.
    TooLong,
    /// It is not what it says it is.
    Damaged,
}

/// Unpacks a request of at most `bytes_max`, however little it is compressed.
pub(crate) fn decompress(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Unpacked> {
    let mut plain = Vec::new();
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed).take(most).read_to_end(&mut plain).map_err(|_| Unpacked::Damaged)?;
    if plain.len() > bytes_max { Err(Unpacked::TooLong) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_client_says_what_it_takes() {
        for (values, expected) in [
            (&["gzip"][..], true),
            (&["gzip, deflate, br"], true),
            (&["deflate", "GZIP"], true),
            (&["*"], true),
            (&["deflate;q=1, gzip;q=0.5"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*;q=0, gzip"], true),
            (&["identity"], false),
            (&[], false),
        ] {
            assert_eq!(is_accepted(&headers(ACCEPT_ENCODING, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn a_request_says_how_it_comes() {
        for (values, expected) in [
            (&[][..], Some(Coding::Plain)),
            (&["identity"], Some(Coding::Plain)),
            (&["Gzip"], Some(Coding::Gzip)),
            (&["br"], None),
            (&["gzip, gzip"], None),
        ] {
            assert_eq!(of_request(&headers(CONTENT_ENCODING, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let packed = compress(&vec![b' '; 10_000_000]).unwrap();
        assert!(packed.len() < 100_000);
        assert_eq!(decompress(&packed, 1_000_000), Err(Unpacked::TooLong));
        assert_eq!(decompress(&packed, 10_000_000).map(|plain| plain.len()), Ok(10_000_000));
        assert_eq!(decompress(b"not packed at all", 100), Err(Unpacked::Damaged));
        assert_eq!(decompress(&packed[..packed.len() / 2], 10_000_000), Err(Unpacked::Damaged));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(plain in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(decompress(&compress(&plain).unwrap(), 5000), Ok(plain));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let _ = decompress(&bytes, 1000);
        }
    }
}
