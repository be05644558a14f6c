//! The desk's camera as a scanner: codes that come by the broker, and what became of every scan.
//!
//! A device takes them only where its operator allows it, since a code that comes this way says nothing about who stands at the gate. It
//! is checked like any other.

use serde_json::json;

use super::runner::ScanReport;
use crate::code::TEXT_BYTES_MAX;

/// Returns the topic on which the desk hands codes to a device.
pub fn scan_topic(device: &str) -> String {
    format!("drawbridge/{device}/scan")
}

/// Returns the topic on which a device tells what became of its scans.
pub fn report_topic(device: &str) -> String {
    format!("drawbridge/{device}/scans")
}

/// Reads a code's text out of a message; `None`: it is too long to be one, or no text.
pub(super) fn text(payload: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(payload).ok()?;
    (text.len() <= TEXT_BYTES_MAX).then(|| text.to_owned())
}

/// Writes a report as JSON: `status` is `opened`, with the milliseconds from the scan on, or `refused` with the reason; `job` is null where
/// the text was no code.
pub(super) fn message(report: &ScanReport) -> String {
    match report {
        ScanReport::Opened { job, verified, released, opened } => json!({
            "status": "opened",
            "job": job,
            "verifiedMs": verified.as_millis(),
            "releasedMs": released.as_millis(),
            "openedMs": opened.as_millis(),
        }),
        ScanReport::Refused { job, refusal } => json!({
            "status": "refused",
            "job": job,
            "reason": refusal.to_string(),
        }),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy_primitives::B256;
    use serde_json::Value;

    use super::*;
    use crate::device::checks::Refusal;

    #[test]
    fn a_report_is_json_with_its_job() {
        let of = |report: ScanReport| serde_json::from_str::<Value>(&message(&report)).unwrap();
        let job = B256::repeat_byte(1);
        let ms = Duration::from_millis;
        let opened = of(ScanReport::Opened { job, verified: ms(1), released: ms(2), opened: ms(3) });
        assert_eq!(opened, json!({"status": "opened", "job": job, "verifiedMs": 1, "releasedMs": 2, "openedMs": 3}));
        let refused = of(ScanReport::Refused { job: None, refusal: Refusal::Used });
        assert_eq!(refused, json!({"status": "refused", "job": null, "reason": Refusal::Used.to_string()}));
    }

    #[test]
    fn a_message_that_cannot_be_a_code_is_none() {
        assert_eq!(text(b"T1:X"), Some("T1:X".to_owned()));
        assert_eq!(text(&[0xff]), None);
        assert_eq!(text(&vec![b'A'; TEXT_BYTES_MAX + 1]), None);
    }
}
