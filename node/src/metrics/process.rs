//! What the operating system says of this process, under the names that all Prometheus clients use. Nothing where there is no
//! `/proc`.

use std::fs;

/// What the system says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessFacts {
    /// Memory in use, in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// Open files and sockets.
    pub(super) open_files: Option<u64>,
    /// How many may be open.
    pub(super) open_files_max: Option<u64>,
}

impl ProcessFacts {
    /// Asks the system.
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Self {
            resident_bytes: field(&status, "VmRSS:").and_then(|kib| kib.checked_mul(1024)),
            open_files: fs::read_dir("/proc/self/fd").ok().and_then(|files| u64::try_from(files.count()).ok()),
            open_files_max: field(&limits, "Max open files"),
        }
    }
}

/// Returns the first number after `name` on its line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_the_first_number_of_their_line() {
        let status = "Name:\tx\nVmRSS:\t  123 kB\n";
        assert_eq!(field(status, "VmRSS:"), Some(123));
        assert_eq!(
            field("Max open files            1024                 4096                 files", "Max open files"),
            Some(1024)
        );
        assert_eq!(field(status, "VmSwap:"), None);
    }
}
