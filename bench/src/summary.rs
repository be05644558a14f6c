//! Figures of many measurements, and tables on the terminal.

use std::time::Duration;

/// Returns the value below which `share` (0 to 1) of the values lie, or zero where there are none.
pub fn percentile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (share * as_f64(sorted.len())).ceil();
    let index = (0..sorted.len()).find(|index| as_f64(index + 1) >= rank).unwrap_or(0);
    sorted.get(index).copied().unwrap_or_default()
}

/// Returns the middle value.
pub fn median(values: &[Duration]) -> Duration {
    percentile(values, 0.5)
}

/// Returns milliseconds with their fraction.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns a count as a number that can be divided; counts here are far below 2^52.
pub fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Returns the rows as text, columns aligned, a line under the first row.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        if index == 0 {
            text.push_str(&"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
            text.push('\n');
        }
    }
    text
}

/// Makes one row of a [`table`].
pub fn row<const N: usize>(cells: [&dyn std::fmt::Display; N]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        for (share, expected) in [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            assert_eq!(percentile(&values, share), Duration::from_millis(expected), "{share}");
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
        assert_eq!(median(&[Duration::from_secs(3)]), Duration::from_secs(3));
    }

    #[test]
    fn columns_line_up() {
        let text = table(&[row([&"name", &"n"]), row([&"a", &1234])]);
        assert_eq!(text, "name     n\n----------\na     1234\n");
    }
}
