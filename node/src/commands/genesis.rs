//! `drawbridge genesis check|show` and `drawbridge dumpgenesis`: what a chain file means, without starting a chain.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use consensus::spec::Activation;
use consensus::{ChainSpec, DifficultyRule, EmptyBlocks, Genesis, GenesisWarning};

use crate::cli::GenesisCommand;
use crate::config::{ChainFileChoice, NodeConfig};
use crate::exit::Fatal;

use super::say;

/// The chain file of the development chain.
pub const DEV_CHAIN: &str = include_str!("../../../genesis/dev.json");

/// The chain file of the private chain.
pub const PRIVATE_CHAIN: &str = include_str!("../../../genesis/private.json");

/// The largest chain file that is read, in bytes: an allocation of a million accounts has some 100 MiB.
const CHAIN_FILE_SIZE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How many accounts of the allocation are shown.
const ACCOUNTS_SHOWN_MAX: usize = 20;

/// Runs one of the commands. Warnings go to `notes`, which is standard error.
///
/// # Errors
/// The file cannot be read or is no chain file; with `--strict` also where it has names that mean nothing.
pub fn run(command: &GenesisCommand, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Fatal> {
    match command {
        GenesisCommand::Check { file, strict } => {
            let (genesis, warnings) = parse(&file.display().to_string(), &read(file)?)?;
            for warning in &warnings {
                say(notes, format_args!("warning: {}: {warning}", file.display()))?;
            }
            if *strict && !warnings.is_empty() {
                let cause = format!("{}: {} names mean nothing", file.display(), warnings.len());
                return Err(Fatal::config(cause, "correct or remove the names above"));
            }
            say(out, format_args!("{}: a chain with id {}", file.display(), genesis.spec.chain_id))?;
            say(out, format_args!("genesis hash {}", genesis.header.hash()))
        }
        GenesisCommand::Show { which } => {
            let text = text_of(which)?;
            let (genesis, warnings) = parse(&which.display().to_string(), &text)?;
            for warning in warnings {
                say(notes, format_args!("warning: {}: {warning}", which.display()))?;
            }
            show(&genesis, out)
        }
    }
}

/// Prints the chain file that a node with this configuration starts from.
///
/// # Errors
/// The file cannot be read.
pub fn dump(config: &NodeConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    say(out, chain_file_text(config)?.trim_end())
}

/// Returns the text of the chain file that a node with this configuration starts from: the chosen one, else the one in the
/// data directory, which a chain was started with or `join` has put there, else the private chain's.
///
/// # Errors
/// The file cannot be read.
pub fn chain_file_text(config: &NodeConfig) -> Result<String, Fatal> {
    let stored = config.data.chain_file();
    match &config.chain.file {
        ChainFileChoice::File(file) => read(file),
        ChainFileChoice::Dev => Ok(DEV_CHAIN.into()),
        // A power cut may have left a file without its content.
        ChainFileChoice::Stored if fs::metadata(&stored).is_ok_and(|file| file.len() > 0) => read(&stored),
        ChainFileChoice::Stored => Ok(PRIVATE_CHAIN.into()),
    }
}

/// Reads a chain file's text; `name` says which in the error.
///
/// # Errors
/// It is no chain file; the field is named.
pub fn parse(name: &str, text: &str) -> Result<(Genesis, Vec<GenesisWarning>), Fatal> {
    Genesis::parse(text).map_err(|error| {
        Fatal::config(format!("{name}: {error}"), "correct the field; genesis/README.md explains each one")
    })
}

fn text_of(which: &Path) -> Result<String, Fatal> {
    match which.to_str() {
        // A file of that name wins.
        Some("dev") if !which.exists() => Ok(DEV_CHAIN.into()),
        Some("private") if !which.exists() => Ok(PRIVATE_CHAIN.into()),
        _ => read(which),
    }
}

/// Reads the text of a chain file.
///
/// # Errors
/// It is not there, not text, or too large.
pub fn read(path: &Path) -> Result<String, Fatal> {
    let unreadable = |problem: &dyn std::fmt::Display| {
        Fatal::config(format!("{}: {problem}", path.display()), "give the path of a chain file (JSON)")
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(CHAIN_FILE_SIZE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(&error))?;
    if text.len() as u64 > CHAIN_FILE_SIZE_BYTES_MAX {
        return Err(unreadable(&"larger than 1 GiB"));
    }
    Ok(text)
}

fn show(genesis: &Genesis, out: &mut dyn Write) -> Result<(), Fatal> {
    let (spec, header) = (&genesis.spec, &genesis.header);
    say(out, format_args!("chain id         {}", spec.chain_id))?;
    say(out, format_args!("genesis hash     {}", header.hash()))?;
    say(out, format_args!("state root       {}", header.state_root))?;
    say(out, format_args!("timestamp        {}", header.timestamp))?;
    say(out, format_args!("gas limit        {}", header.gas_limit))?;
    say(out, format_args!("difficulty       {}", header.difficulty))?;
    if let Some(base_fee) = header.base_fee_per_gas {
        say(out, format_args!("base fee         {base_fee} wei"))?;
    }
    show_rules(spec, out)?;
    say(out, format_args!("accounts         {}", genesis.alloc.len()))?;
    for (address, account) in genesis.alloc.iter().take(ACCOUNTS_SHOWN_MAX) {
        let code = if account.code.is_empty() { "" } else { ", a contract" };
        say(out, format_args!("  {address} {} wei{code}", account.balance))?;
    }
    match genesis.alloc.len().checked_sub(ACCOUNTS_SHOWN_MAX) {
        None | Some(0) => Ok(()),
        Some(more) => say(out, format_args!("  and {more} more")),
    }
}

fn show_rules(spec: &ChainSpec, out: &mut dyn Write) -> Result<(), Fatal> {
    for (fork, activation) in spec.forks.activations() {
        match activation {
            Activation::Block(number) => say(out, format_args!("fork             {fork:?} from block {number}"))?,
            Activation::Time(time) => say(out, format_args!("fork             {fork:?} from time {time}"))?,
        }
    }
    if let Some(rules) = &spec.ethereum {
        for (name, value) in rules.describe() {
            say(out, format_args!("{name:<17}{value}"))?;
        }
    }
    if spec.last_unsealed().is_none() {
        return Ok(());
    }
    let pow = &spec.pow;
    match &pow.difficulty {
        DifficultyRule::Fixed(difficulty) => say(out, format_args!("difficulty rule  always {difficulty}"))?,
        DifficultyRule::Target { target_ms, min, max, .. } => {
            say(out, format_args!("difficulty rule  a block every {target_ms} ms, from {min} to {max}"))?;
        }
    }
    let empty_blocks = match pow.empty_blocks {
        EmptyBlocks::Always => "always".to_owned(),
        EmptyBlocks::Heartbeat { seconds } => format!("after {seconds} s without a block"),
        EmptyBlocks::Never => "never".to_owned(),
    };
    say(out, format_args!("empty blocks     {empty_blocks}"))?;
    say(out, format_args!("block reward     {} wei", pow.block_reward))?;
    match pow.authorized_miners.len() {
        0 => say(out, "miners           anyone")?,
        count => say(out, format_args!("miners           {count} authorized"))?,
    }
    say(out, format_args!("safe depth       {} blocks", pow.safe_depth))?;
    say(out, format_args!("finality depth   {} blocks", pow.finality_depth))
}
