//! The command line's definition.
#![allow(clippy::unwrap_used)]

use super::*;

fn typed(line: &str) -> Result<Cli, String> {
    parse(line.split_whitespace().map(OsString::from).collect())
        .map(|typed| typed.cli)
        .map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_consistent() {
    command().debug_assert();
    node_flags().debug_assert();
}

#[test]
fn without_a_command_it_is_a_node() {
    assert!(typed("drawbridge --http").unwrap().command.is_none());
    assert!(
        matches!(typed("drawbridge node --http").unwrap().command, Some(Command::Node(args)) if args.http.http == Some(true))
    );
}

#[test]
fn a_value_may_have_the_name_of_a_command() {
    let typed = typed("drawbridge --datadir node --mine account list").unwrap();
    assert_eq!(typed.node.data.datadir, Some("node".into()));
    assert!(matches!(typed.command, Some(Command::Account(_))));
}

#[test]
fn switches_may_have_a_value_after_an_equals_sign() {
    let http = |line: &str| typed(line).unwrap().node.http.http;
    assert_eq!(http("drawbridge --http"), Some(true));
    assert_eq!(http("drawbridge --http=true"), Some(true));
    assert_eq!(http("drawbridge --http=false"), Some(false));
    assert_eq!(http("drawbridge"), None);
    assert!(typed("drawbridge --http=maybe").is_err());
}

#[test]
fn the_last_of_a_repeated_flag_holds() {
    assert_eq!(typed("drawbridge --http.port 1 --http.port 2").unwrap().node.http.http_port, Some(2));
    assert_eq!(typed("drawbridge --mine --mine=false").unwrap().node.miner.mine, Some(false));
}

#[test]
fn an_unknown_flag_names_the_nearest() {
    for (line, expected) in [
        ("drawbridge --htp.port 1", "--http.port"),
        ("drawbridge node --miner.thread 1", "--miner.threads"),
        ("drawbridge account new --datdir x", "--datadir"),
        ("drawbridge acount", "account"),
    ] {
        let error = typed(line).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn lines_below_the_flags_are_as_wide_as_the_help_and_no_wider() {
    fn check(command: &clap::Command) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in after.lines() {
            assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
        }
        command.get_subcommands().for_each(check);
    }
    check(&command());
}

#[test]
fn values_out_of_range_are_refused_with_the_flag() {
    for line in [
        "drawbridge --miner.cpu 0",
        "drawbridge --miner.cpu 101",
        "drawbridge --verbosity 6",
        "drawbridge --http.port 65536",
        "drawbridge --gpo.percentile 101",
        "drawbridge --cache 0",
        "drawbridge --miner.extradata 0123456789012345678901234567890123",
        "drawbridge --unlock alice",
        "drawbridge --rpc.evmtimeout soon",
        "drawbridge --fsync never",
    ] {
        let error = typed(line).unwrap_err();
        assert!(error.contains(line.split_whitespace().nth(1).unwrap()), "{line}: {error}");
    }
}

#[test]
fn help_has_examples_and_every_flag_has_a_text() {
    let help = command().render_long_help().to_string();
    for expected in [
        "drawbridge --dev",
        "JSON-RPC limits:",
        "Mining:",
        "Transaction pool:",
        "DRAWBRIDGE_HTTP_PORT",
        "[default: 8545]",
    ] {
        assert!(help.contains(expected), "{expected}\n{help}");
    }
    for arg in node_flags().get_arguments() {
        assert!(arg.get_help().is_some(), "{:?}", arg.get_long());
    }
}
