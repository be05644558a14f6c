//! The fork schedule of a chain file: geth's names by block and by time, Besu's spellings, and Drawbridge's own names for
//! starting the forks since Shanghai at a block.

use crate::ethereum::EthereumRules;
use crate::spec::{Activation, Fork, ForkSchedule};

use super::json::{Object, Read, number, number_u64};
use super::{GenesisError, GenesisWarning};

/// The fields that schedule a fork by block; the first name of a fork is the one that is written.
const BY_BLOCK: [(Fork, &str); 21] = [
    (Fork::Frontier, "frontierBlock"),
    (Fork::Homestead, "homesteadBlock"),
    (Fork::TangerineWhistle, "eip150Block"),
    (Fork::SpuriousDragon, "eip158Block"),
    (Fork::SpuriousDragon, "eip155Block"),
    (Fork::Byzantium, "byzantiumBlock"),
    (Fork::Constantinople, "constantinopleBlock"),
    (Fork::Petersburg, "petersburgBlock"),
    (Fork::Petersburg, "constantinopleFixBlock"),
    (Fork::Istanbul, "istanbulBlock"),
    (Fork::MuirGlacier, "muirGlacierBlock"),
    (Fork::Berlin, "berlinBlock"),
    (Fork::London, "londonBlock"),
    (Fork::ArrowGlacier, "arrowGlacierBlock"),
    (Fork::GrayGlacier, "grayGlacierBlock"),
    (Fork::Paris, "mergeNetsplitBlock"),
    (Fork::Paris, "parisBlock"),
    (Fork::Shanghai, "shanghaiBlock"),
    (Fork::Cancun, "cancunBlock"),
    (Fork::Prague, "pragueBlock"),
    (Fork::Osaka, "osakaBlock"),
];

/// The fields that schedule a fork by time.
const BY_TIME: [(Fork, &str); 4] = [
    (Fork::Shanghai, "shanghaiTime"),
    (Fork::Cancun, "cancunTime"),
    (Fork::Prague, "pragueTime"),
    (Fork::Osaka, "osakaTime"),
];

/// Forks that no client of this age runs on proof of work; a chain that needs them would split off.
const UNSUPPORTED: [&str; 3] = ["amsterdamTime", "verkleTime", "ubtTime"];

/// What only blocks of Ethereum's own history have: blobs and deposits.
const ETHEREUM_ONLY: [&str; 7] =
    ["bpo1Time", "bpo2Time", "bpo3Time", "bpo4Time", "bpo5Time", "blobSchedule", "depositContractAddress"];

/// Returns the field that schedules a fork in a written chain file.
pub(super) fn field(fork: Fork, activation: Activation) -> Option<&'static str> {
    let table: &[(Fork, &'static str)] = match activation {
        Activation::Block(_) => &BY_BLOCK,
        Activation::Time(_) => &BY_TIME,
    };
    table.iter().find(|(of, _)| *of == fork).map(|(_, name)| *name)
}

/// Reads the schedule. Where all blocks are Drawbridge's own, a file without any fork runs the newest one from genesis; other
/// clients' files mean Frontier by that. Where Drawbridge takes over from other clients, the newest fork begins there, unless the
/// file itself names a fork since Paris.
pub(super) fn read(
    config: &mut Object<'_>,
    genesis_timestamp: u64,
    ethereum: Option<&EthereumRules>,
) -> Read<ForkSchedule> {
    let mut listed: Vec<(Fork, Activation, &'static str)> = Vec::new();
    for (fork, name) in BY_BLOCK {
        if let Some(block) = config.take(name, number_u64)? {
            add(&mut listed, fork, Activation::Block(block), name)?;
        }
    }
    for (fork, name) in BY_TIME {
        if let Some(time) = config.take(name, number_u64)? {
            // What runs at genesis has no other beginning.
            let activation = if time <= genesis_timestamp { Activation::Block(0) } else { Activation::Time(time) };
            add(&mut listed, fork, activation, name)?;
        }
    }
    for name in UNSUPPORTED {
        if config.take(name, |_| Ok(()))?.is_some() {
            let problem = format!("this fork is not supported; remove it: the newest here is {:?}", Fork::NEWEST);
            return Err(GenesisError::at(name, problem));
        }
    }
    complete(config, ethereum, &mut listed)?;
    listed.sort_by_key(|(fork, ..)| *fork);
    check_order(&listed)?;
    if listed.is_empty() {
        return Ok(ForkSchedule::only(if ethereum.is_some() { Fork::Frontier } else { Fork::NEWEST }));
    }
    Ok(ForkSchedule::new(listed.into_iter().map(|(fork, activation, _)| (fork, activation)).collect()))
}

/// Adds a fork; two names for one fork must agree.
fn add(
    listed: &mut Vec<(Fork, Activation, &'static str)>,
    fork: Fork,
    activation: Activation,
    name: &'static str,
) -> Read<()> {
    match listed.iter().find(|(of, ..)| *of == fork) {
        Some((_, first, other)) if *first != activation => {
            Err(GenesisError::at(name, format!("begins the same fork as {other}, at another point; make them equal")))
        }
        Some(_) => Ok(()),
        None => {
            listed.push((fork, activation, name));
            Ok(())
        }
    }
}

/// Adds what geth derives: Petersburg is Constantinople's correction, and, where all blocks are Drawbridge's own, a terminal
/// total difficulty of 0 means that the rules of Paris hold as soon as London's. Any other terminal difficulty is never reached
/// there: work goes on. Adds the newest fork at a hand-over.
fn complete(
    config: &mut Object<'_>,
    ethereum: Option<&EthereumRules>,
    listed: &mut Vec<(Fork, Activation, &'static str)>,
) -> Read<()> {
    let find = |listed: &[(Fork, Activation, &str)], fork| {
        listed.iter().find(|(of, ..)| *of == fork).map(|(_, activation, _)| *activation)
    };
    if find(listed, Fork::Petersburg).is_none() {
        let petersburg = find(listed, Fork::Constantinople);
        listed.extend(petersburg.map(|activation| (Fork::Petersburg, activation, "constantinopleBlock")));
    }
    let Some(rules) = ethereum else {
        let terminal = config.take("terminalTotalDifficulty", number)?;
        config.ignore(&["terminalTotalDifficultyPassed", "terminalBlockHash", "terminalBlockNumber"]);
        let paris_by_work = terminal.is_some_and(|terminal| terminal.is_zero()) && find(listed, Fork::Paris).is_none();
        let paris = paris_by_work.then(|| find(listed, Fork::London)).flatten();
        listed.extend(paris.map(|activation| (Fork::Paris, activation, "terminalTotalDifficulty")));
        return Ok(());
    };
    let named = listed.iter().any(|(fork, ..)| *fork >= Fork::Paris);
    let newest = rules.hand_over.filter(|_| !named);
    listed.extend(newest.map(|hand_over| (Fork::NEWEST, Activation::Block(hand_over.first), "pow.fromBlock")));
    Ok(())
}

/// Takes out what means nothing where all blocks are Drawbridge's own. The DAO fork moved balances of Ethereum's own accounts, and
/// nothing else.
pub(super) fn ignore_ethereum(config: &mut Object<'_>, warnings: &mut Vec<GenesisWarning>) -> Read<()> {
    config.ignore(&ETHEREUM_ONLY);
    let block = config.take("daoForkBlock", number_u64)?;
    let support = config.take("daoForkSupport", super::json::boolean)?;
    if block.is_some_and(|block| block > 0) && support == Some(true) {
        let note = "the DAO fork is not run: no balances are moved at that block";
        warnings.push(GenesisWarning { field: "daoForkBlock".to_owned(), nearest: None, note: Some(note) });
    }
    Ok(())
}

/// A later fork includes the earlier ones, so it cannot begin before one that is listed.
fn check_order(listed: &[(Fork, Activation, &'static str)]) -> Read<()> {
    for pair in listed.windows(2) {
        let [(_, earlier, first), (fork, later, second)] = pair else { continue };
        let ordered = match (earlier, later) {
            (Activation::Block(a), Activation::Block(b)) | (Activation::Time(a), Activation::Time(b)) => a <= b,
            (Activation::Block(_), Activation::Time(_)) => true,
            (Activation::Time(_), Activation::Block(_)) => false,
        };
        if !ordered {
            let problem =
                format!("{fork:?} begins here before {first} does, whose fork it includes; put them in order");
            return Err(GenesisError::at(second, problem));
        }
    }
    Ok(())
}
