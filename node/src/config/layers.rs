//! The layers: a flag wins over the environment, that over the configuration file, that over the default.
//!
//! A setting has one name, its flag. In the environment it is `DRAWBRIDGE_` and the name in capitals with `_` for `.` and
//! `-`; in the file it is the same name as a TOML key, where `http`, `ws`, `desk`, `mqtt`, `dev`, `p2p` and `metrics`, which are tables,
//! are switched on by `enabled`. All layers go through the same parser, so that a value means the same everywhere.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};
use toml::Value;

use crate::cli::flags::NodeArgs;
use crate::cli::legacy::Warning;
use crate::exit::Fatal;

use super::NodeConfig;
use super::checks::{Places, build};
use super::print::PATHS;

/// The largest configuration file that is read, in bytes.
const CONFIG_SIZE_BYTES_MAX: u64 = 1024 * 1024;

/// What the names in the environment begin with.
const ENV_PREFIX: &str = "DRAWBRIDGE_";

/// Flags that are tables in the file.
const TABLES: [&str; 7] = ["http", "ws", "desk", "mqtt", "dev", "p2p", "metrics"];

/// Says which layer a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The program.
    Default,
    /// The configuration file.
    File,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl Origin {
    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

/// The configuration, where its values come from, and what the operator should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: NodeConfig,
    /// Flag name ⇒ origin, for settings that were given.
    pub origins: BTreeMap<String, Origin>,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

/// The setting's value in one layer.
#[derive(Clone, Debug)]
struct Given {
    value: OsString,
    origin: Origin,
}

type Settings = BTreeMap<String, Given>;

/// Loads the configuration from the matches of the command line, the environment and the file that `--config` or
/// `DRAWBRIDGE_CONFIG` names.
///
/// # Errors
/// A value that cannot be read, a key that does not exist, or values that contradict each other; the layer is named.
pub fn load(matches: &ArgMatches, environment: &[(String, OsString)]) -> Result<Loaded, Fatal> {
    let names = names();
    let mut settings = Settings::new();
    let mut warnings = Vec::new();
    let from_flags = flags(matches, &names);
    let from_environment = variables(environment, &names, &mut warnings)?;
    let file = from_flags.get("config").or_else(|| from_environment.get("config"));
    if let Some(file) = file {
        settings.extend(file_settings(Path::new(&file.value), &names)?);
    }
    settings.extend(from_environment);
    settings.extend(from_flags);

    let words = settings.iter().map(|(name, given)| word(name, &given.value));
    let args = parse(words.collect()).map_err(|error| Fatal::Usage { cause: first_line(&error) })?;
    let (config, more) = build(args, &places(environment))?;
    warnings.extend(more);
    let origins = settings.into_iter().map(|(name, given)| (name, given.origin)).collect();
    Ok(Loaded { config, origins, warnings })
}

/// Returns flag name ⇒ clap id of all settings.
fn names() -> BTreeMap<String, String> {
    crate::cli::node_flags()
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.get_id().as_str().to_owned())))
        .filter(|(name, _)| name != "help")
        .collect()
}

/// Collects the flags that were given before and after the command; the latter win.
fn flags(matches: &ArgMatches, names: &BTreeMap<String, String>) -> Settings {
    let mut settings = Settings::new();
    let mut level = Some(matches);
    while let Some(matches) = level {
        for (name, id) in names {
            let is_known_here = matches.try_contains_id(id).is_ok();
            if is_known_here && matches.value_source(id) == Some(ValueSource::CommandLine) {
                let value = matches.get_raw(id).and_then(Iterator::last).unwrap_or_default().to_owned();
                settings.insert(name.clone(), Given { value, origin: Origin::Flag });
            }
        }
        level = matches.subcommand().map(|(_, matches)| matches);
    }
    settings
}

fn variable_of(name: &str) -> String {
    format!("{ENV_PREFIX}{}", name.to_ascii_uppercase().replace(['.', '-'], "_"))
}

fn variables(
    environment: &[(String, OsString)],
    names: &BTreeMap<String, String>,
    warnings: &mut Vec<Warning>,
) -> Result<Settings, Fatal> {
    let known: BTreeMap<String, &String> = names.keys().map(|name| (variable_of(name), name)).collect();
    let mut settings = Settings::new();
    for (variable, value) in environment.iter().filter(|(variable, _)| variable.starts_with(ENV_PREFIX)) {
        match known.get(variable) {
            Some(name) => {
                check(name, value).map_err(|problem| {
                    Fatal::config(format!("{variable}: {problem}"), "correct or unset the variable")
                })?;
                let given = Given { value: value.clone(), origin: Origin::Environment };
                settings.insert((*name).clone(), given);
            }
            None => {
                let nearest = nearest(variable, known.keys().map(String::as_str));
                if let Some(nearest) = nearest {
                    warnings.push(Warning(format!("{variable} is no setting; did you mean {nearest}?")));
                }
            }
        }
    }
    Ok(settings)
}

fn file_settings(path: &Path, names: &BTreeMap<String, String>) -> Result<Settings, Fatal> {
    let unreadable = |problem: &dyn std::fmt::Display| {
        Fatal::config(format!("{}: {problem}", path.display()), "correct the file, or leave out --config")
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(CONFIG_SIZE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(&error))?;
    if text.len() as u64 > CONFIG_SIZE_BYTES_MAX {
        return Err(unreadable(&format!("more than {CONFIG_SIZE_BYTES_MAX} bytes")));
    }
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| unreadable(&error.to_string().trim_end()))?;
    let mut flat = BTreeMap::new();
    flatten("", table, &mut flat);
    let keys: BTreeMap<String, &String> = names.keys().map(|name| (key_of(name), name)).collect();
    let mut settings = Settings::new();
    for (key, value) in flat {
        let Some(name) = keys.get(&key).filter(|name| name.as_str() != "config") else {
            let hint = nearest(&key, keys.keys().map(String::as_str).filter(|key| *key != "config"));
            let hint = hint.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
            return Err(unreadable(&format!("there is no setting `{key}`{hint}")));
        };
        if PATHS.contains(&name.as_str()) && !value.is_str() {
            return Err(unreadable(&format!("{key}: a path is text: write it in quotes")));
        }
        let value =
            text_of(&value).ok_or_else(|| unreadable(&format!("{key}: neither text, number, switch nor list")))?;
        check(name, &value).map_err(|problem| unreadable(&format!("{key}: {problem}")))?;
        settings.insert((*name).clone(), Given { value, origin: Origin::File });
    }
    Ok(settings)
}

/// Returns the key of a flag in the file.
pub(super) fn key_of(name: &str) -> String {
    if TABLES.contains(&name) { format!("{name}.enabled") } else { name.to_owned() }
}

fn flatten(prefix: &str, table: toml::Table, flat: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(&key, table, flat),
            value => {
                flat.insert(key, value);
            }
        }
    }
}

fn text_of(value: &Value) -> Option<OsString> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(switch) => switch.to_string(),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(text_of).collect();
            return Some(items?.join(",".as_ref()));
        }
        Value::Datetime(_) | Value::Table(_) => return None,
    };
    Some(text.into())
}

/// Reads one setting alone, so that what is wrong with it can be told with its origin.
fn check(name: &str, value: &OsString) -> Result<(), String> {
    parse(vec![word(name, value)]).map(drop).map_err(|error| first_line(&error))
}

fn parse(words: Vec<OsString>) -> Result<NodeArgs, clap::Error> {
    let matches = crate::cli::node_flags().try_get_matches_from(words)?;
    NodeArgs::from_arg_matches(&matches)
}

fn word(name: &str, value: &OsString) -> OsString {
    let mut word = OsString::from(format!("--{name}="));
    word.push(value);
    word
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Returns the name that is at most three letters, or a third, away.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 3 && *distance * 3 <= name.len())
        .min()
        .map(|(_, candidate)| candidate)
}

fn places(environment: &[(String, OsString)]) -> Places {
    let home = environment.iter().find(|(name, _)| name == "HOME").map(|(_, value)| PathBuf::from(value));
    let unique = format!("drawbridge-dev-{}-{:08x}", std::process::id(), rand::random::<u32>());
    Places { datadir: home.unwrap_or_default().join(".drawbridge"), temporary: std::env::temp_dir().join(unique) }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
