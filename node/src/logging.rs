//! The log: lines for people or JSON, on standard error and, if wanted, in a file that is turned over at a size.
//!
//! On a terminal the lines stand above the bar of a long work ([`Screen`]).

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rpc::LogControl;
use tracing_subscriber::filter::{EnvFilter, dynamic_filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::LogConfig;
use crate::config::values::{Color, LogFormat};
use crate::exit::Fatal;
use crate::screen::{Screen, is_progress};

/// Changes how much is logged while the program runs, and knows the screen that the log is on. The default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct LogHandle {
    changeable: Option<Arc<Changeable>>,
    screen: Screen,
}

#[derive(Debug)]
struct Changeable {
    filter: reload::Handle<EnvFilter, Registry>,
    levels: Mutex<Levels>,
}

/// How much is logged: by all, and by modules that have their own measure.
#[derive(Clone, Debug)]
struct Levels {
    verbosity: u8,
    modules: Vec<(String, u8)>,
}

impl LogHandle {
    /// Returns the screen that the log's lines are written to.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    fn change(&self, change: impl FnOnce(&mut Levels)) -> Result<(), String> {
        let Some(changeable) = &self.changeable else { return Ok(()) };
        let mut levels = changeable.levels.lock();
        let mut wanted = levels.clone();
        change(&mut wanted);
        let filter = EnvFilter::try_new(wanted.directives()).map_err(|error| error.to_string())?;
        // It fails only when the subscriber is gone, and then nobody listens.
        let _ = changeable.filter.reload(filter);
        *levels = wanted;
        Ok(())
    }
}

impl LogControl for LogHandle {
    fn set_verbosity(&self, verbosity: u8) {
        // The words for every verbosity are a filter, and those for the modules were one before.
        let _ = self.change(|levels| levels.verbosity = verbosity);
    }

    fn set_modules(&self, modules: &[(String, u8)]) -> Result<(), String> {
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
        if let Some((name, _)) = modules.iter().find(|(name, _)| !is_name(name)) {
            return Err(format!("{name:?} is no name of a module; names are such as `network` or `rpc::http`"));
        }
        self.change(|levels| levels.modules = modules.to_vec())
    }
}

impl Levels {
    fn directives(&self) -> String {
        let mut text = directives(self.verbosity).to_owned();
        for (module, level) in &self.modules {
            let level = ["off", "error", "warn", "info", "debug"].get(usize::from(*level)).unwrap_or(&"trace");
            text.push_str(&format!(",{module}={level}"));
        }
        text
    }
}

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// The log file cannot be opened.
pub fn start(config: &LogConfig) -> Result<LogHandle, Fatal> {
    let levels = Levels { verbosity: config.verbosity, modules: Vec::new() };
    let (filter, handle) = reload::Layer::new(EnvFilter::new(levels.directives()));
    let is_terminal = io::stderr().is_terminal();
    let is_json = is_json(config.format, is_terminal);
    let colored =
        is_colored(config.color, is_terminal, std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()));
    let screen = if has_bars(is_json, config.verbosity) { Screen::with_bars() } else { Screen::default() };
    let beside_bar = screen.clone();
    // What the bar shows needs no lines above it.
    let wanted = dynamic_filter_fn(move |line, _| !is_progress(line.target()) || !beside_bar.is_bar_shown());
    let on_screen = lines(is_json, colored && !is_json, screen.clone()).with_filter(wanted).boxed();
    let in_file = match &config.file {
        Some(path) => {
            let size_max = config.file_size_mib_max.saturating_mul(1024 * 1024);
            let file = RollingFile::open(path, size_max).map_err(|error| Fatal::io(path, &error))?;
            Some(lines(is_json, false, SharedFile(Arc::new(Mutex::new(file)))))
        }
        None => None,
    };
    let layers: Vec<BoxedLayer> = std::iter::once(on_screen).chain(in_file).collect();
    // The layers sit below the filter in type only: a global filter holds for all of them.
    let subscriber = tracing_subscriber::registry().with(filter).with(layers);
    let _ = subscriber.try_init();
    let changeable = Arc::new(Changeable { filter: handle, levels: Mutex::new(levels) });
    Ok(LogHandle { changeable: Some(changeable), screen })
}

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type BoxedLayer = Box<dyn Layer<Filtered> + Send + Sync>;

fn lines<W>(is_json: bool, colored: bool, writer: W) -> BoxedLayer
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(colored).with_target(false);
    if is_json { layer.json().flatten_event(true).boxed() } else { layer.boxed() }
}

/// Our own crates log at the verbosity; the libraries below say what they have to say at 2 (warnings), and more from 4 on.
fn directives(verbosity: u8) -> &'static str {
    match verbosity {
        0 => "off",
        1 => "error",
        // That a message is known already, or that nobody else is there yet, is no news to an operator.
        2 => "warn,libp2p_gossipsub=error,libp2p_kad=error",
        3 => {
            "info,jsonrpsee=warn,jsonrpsee_server=warn,hyper=warn,soketto=warn,tower=warn,libp2p=warn,libp2p_gossipsub=error,libp2p_kad=error,quinn=warn"
        }
        4 => {
            "debug,jsonrpsee=info,jsonrpsee_server=info,hyper=info,soketto=info,tower=info,libp2p=info,yamux=info,multistream_select=info,netlink_proto=info,quinn=info"
        }
        _ => "trace",
    }
}

fn is_json(format: LogFormat, is_terminal: bool) -> bool {
    match format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !is_terminal,
    }
}

fn is_colored(color: Color, is_terminal: bool, no_color: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal && !no_color,
    }
}

/// Bars are for people, in the place of lines that they want to read.
fn has_bars(is_json: bool, verbosity: u8) -> bool {
    !is_json && verbosity >= 3
}

/// A file that is renamed to `FILE.1` when it has grown to a size, and begun anew.
#[derive(Debug)]
struct RollingFile {
    path: PathBuf,
    file: File,
    size: u64,
    size_max: u64,
}

impl RollingFile {
    fn open(path: &Path, size_max: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_path_buf(), file, size, size_max })
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        fs::rename(&self.path, old)?;
        *self = Self::open(&self.path, self.size_max)?;
        Ok(())
    }
}

impl Write for RollingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let size = line.len() as u64;
        if self.size > 0 && self.size.saturating_add(size) > self.size_max {
            // A log that cannot be turned over is better than none.
            let _ = self.turn_over();
        }
        self.file.write_all(line)?;
        self.size = self.size.saturating_add(size);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[derive(Clone, Debug)]
struct SharedFile(Arc<Mutex<RollingFile>>);

impl Write for SharedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flush()
    }
}

impl<'a> MakeWriter<'a> for SharedFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_log_file_is_turned_over_at_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        let mut file = RollingFile::open(&path, 10).unwrap();
        for line in ["12345\n", "abc\n", "next\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\n");
        assert_eq!(fs::read_to_string(folder.path().join("node.log.1")).unwrap(), "12345\nabc\n");
        drop(file);
        let mut file = RollingFile::open(&path, 10).unwrap();
        file.write_all(b"more\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\nmore\n");
        file.write_all(b"a line longer than the size\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a line longer than the size\n");
    }

    #[test]
    fn colour_and_format_follow_the_terminal_only_where_asked() {
        for (color, is_terminal, no_color, expected) in [
            (Color::Auto, true, false, true),
            (Color::Auto, true, true, false),
            (Color::Auto, false, false, false),
            (Color::Always, false, true, true),
            (Color::Never, true, false, false),
        ] {
            assert_eq!(is_colored(color, is_terminal, no_color), expected, "{color:?} {is_terminal} {no_color}");
        }
        let formats = [LogFormat::Text, LogFormat::Json, LogFormat::Auto];
        assert_eq!(formats.map(|format| is_json(format, true)), [false, true, false]);
        assert_eq!(formats.map(|format| is_json(format, false)), [false, true, true]);
    }

    #[test]
    fn bars_are_for_people_who_want_to_read_as_much() {
        assert!(has_bars(false, 3) && has_bars(false, 5));
        assert!(!has_bars(true, 3) && !has_bars(false, 2));
    }

    #[test]
    fn modules_have_their_own_verbosity() {
        let levels = Levels { verbosity: 1, modules: vec![("network".to_owned(), 0), ("rpc::http".to_owned(), 9)] };
        assert_eq!(levels.directives(), "error,network=off,rpc::http=trace");
        assert!(EnvFilter::try_new(levels.directives()).is_ok());
        let (_filter, handle) = reload::Layer::new(EnvFilter::new("info"));
        let levels = Mutex::new(Levels { verbosity: 3, modules: Vec::new() });
        let changeable = Some(Arc::new(Changeable { filter: handle, levels }));
        let log = LogHandle { changeable, ..LogHandle::default() };
        assert!(log.set_modules(&[("no module".to_owned(), 3)]).is_err());
        assert_eq!(log.set_modules(&[("chain".to_owned(), 3)]), Ok(()));
        assert_eq!(LogHandle::default().set_modules(&[]), Ok(()));
    }

    #[test]
    fn every_verbosity_is_a_filter_that_means_itself() {
        use tracing_subscriber::filter::LevelFilter;
        let filter = |verbosity| EnvFilter::try_new(directives(verbosity)).unwrap();
        let levels = (0..=6).map(|verbosity| filter(verbosity).max_level_hint().unwrap()).collect::<Vec<_>>();
        use LevelFilter as L;
        assert_eq!(levels, [L::OFF, L::ERROR, L::WARN, L::INFO, L::DEBUG, L::TRACE, L::TRACE]);
    }
}
