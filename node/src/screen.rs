//! Standard error as a screen: the log's lines, and below them a bar that shows how far a long work is.
//!
//! There is a bar only where standard error is a terminal that can move its cursor, and one at a time. While it stands, the lines that
//! say the same (`is_progress`) are left out on the screen; a log file has them all.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

/// Slower than this, in steps a second, a work stands still: what is left would take for ever.
const RATE_MIN: f64 = 0.001;

/// Tells whether lines of this target say what a bar shows as well: how far a work is, and each block of it.
pub(crate) fn is_progress(target: &str) -> bool {
    target.ends_with("::progress")
}

/// Writes lines to standard error, above the bar where there is one. Clones share it; the default shows no bars.
#[derive(Clone, Debug, Default)]
pub struct Screen(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    has_bars: bool,
    is_bar_shown: AtomicBool,
    bar: Mutex<Option<ProgressBar>>,
}

/// A work whose progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Blocks that are fetched from peers.
    CatchUp,
    /// Blocks that are written to a file.
    Export,
    /// Bytes of a file whose blocks are imported.
    Import,
}

impl Work {
    fn template(self) -> &'static str {
        match self {
            Self::CatchUp => "catching up {wide_bar} {pos}/{len} blocks, {rate} blocks/s, {left}",
            Self::Export => "exporting {wide_bar} {pos}/{len} blocks, {rate} blocks/s, {left}",
            Self::Import => "importing {wide_bar} {bytes}/{total_bytes}, {msg}{left}",
        }
    }

    fn style(self) -> ProgressStyle {
        let style = ProgressStyle::with_template(self.template()).expect("the templates name what there is");
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be written is not shown.
            let _ = write!(out, "{:.0}", state.per_sec());
        };
        let left = |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = out.write_str(&time_left(state.per_sec(), state.eta()));
        };
        style.with_key("rate", rate).with_key("left", left)
    }
}

fn time_left(per_second: f64, left: Duration) -> String {
    if per_second < RATE_MIN { "time left unknown".to_owned() } else { format!("{:#} left", HumanDuration(left)) }
}

impl Screen {
    /// Returns a screen that shows bars, where standard error is a terminal that can.
    pub(crate) fn with_bars() -> Self {
        let has_bars = !ProgressDrawTarget::stderr().is_hidden();
        Self(Arc::new(Shared { has_bars, ..Shared::default() }))
    }

    /// Shows how far a work of `length` steps is; none where there are no bars, or another one is shown.
    pub(crate) fn bar(&self, work: Work, length: u64) -> Option<Bar> {
        let mut shown = self.0.bar.lock();
        if !self.0.has_bars || shown.is_some() {
            return None;
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr()).with_style(work.style());
        bar.tick();
        *shown = Some(bar.clone());
        self.0.is_bar_shown.store(true, Ordering::Relaxed);
        Some(Bar { bar, screen: self.clone() })
    }

    /// Tells whether a bar is shown now.
    pub(crate) fn is_bar_shown(&self) -> bool {
        self.0.is_bar_shown.load(Ordering::Relaxed)
    }

    /// Writes whole lines. A terminal that is gone is no reason to stop working, so nobody hears of it.
    fn write(&self, lines: &[u8]) {
        let bar = self.0.bar.lock();
        let put = || {
            let _ = io::stderr().lock().write_all(lines);
        };
        match &*bar {
            Some(bar) => bar.suspend(put),
            None => put(),
        }
    }
}

impl Write for Screen {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        Screen::write(self, lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A bar on the screen; dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    screen: Screen,
}

impl Bar {
    /// Shows that `done` of `length` steps are done.
    pub(crate) fn at(&self, done: u64, length: u64) {
        if self.bar.length() != Some(length) {
            self.bar.set_length(length);
        }
        self.bar.set_position(done);
    }

    /// Shows words before the time left.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Draws it anew, since the time has gone on.
    pub(crate) fn tick(&self) {
        self.bar.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let mut shown = self.screen.0.bar.lock();
        self.bar.finish_and_clear();
        self.screen.0.is_bar_shown.store(false, Ordering::Relaxed);
        *shown = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_work_has_a_bar_that_can_be_drawn() {
        for work in [Work::CatchUp, Work::Export, Work::Import] {
            let bar = ProgressBar::with_draw_target(Some(10), ProgressDrawTarget::hidden()).with_style(work.style());
            bar.set_position(3);
            bar.tick();
            assert_eq!((bar.position(), bar.length()), (3, Some(10)), "{work:?}");
        }
    }

    #[test]
    fn the_time_left_is_told_once_there_is_a_rate() {
        for (per_second, left_s, expected) in [
            (0.0, 0, "time left unknown"),
            (0.000_1, 1 << 40, "time left unknown"),
            (12.0, 50, "50s left"),
            (12.0, 600, "10m left"),
            (0.5, 200_000, "2d left"),
        ] {
            assert_eq!(time_left(per_second, Duration::from_secs(left_s)), expected, "{per_second} {left_s}");
        }
    }

    #[test]
    fn a_screen_without_bars_shows_none() {
        let screen = Screen::default();
        assert!(screen.bar(Work::CatchUp, 10).is_none());
        assert!(!screen.is_bar_shown());
    }

    #[test]
    fn one_bar_is_shown_at_a_time() {
        let screen = Screen(Arc::new(Shared { has_bars: true, ..Shared::default() }));
        let first = screen.bar(Work::Export, 10).unwrap();
        first.at(4, 20);
        first.say("half".to_owned());
        assert_eq!((first.bar.position(), first.bar.length()), (4, Some(20)));
        assert!(screen.is_bar_shown() && screen.bar(Work::CatchUp, 10).is_none());
        drop(first);
        assert!(!screen.is_bar_shown() && screen.bar(Work::CatchUp, 10).is_some());
    }

    #[test]
    fn lines_of_progress_are_known_by_their_target() {
        for (target, expected) in
            [("node::progress", true), ("network::progress", true), ("node::run", false), ("progressive", false)]
        {
            assert_eq!(is_progress(target), expected, "{target}");
        }
    }
}
