//! `export` and `import`: chains in files, whole, in pieces, and broken.

use super::database::mine;
use super::support::{Home, random_bytes};

/// A folder with a chain of ten blocks in `node`, exported to `chain.rlp`, and the chain's file.
fn exported() -> Home {
    let home = Home::new();
    mine(&home, 10);
    home.run("export --datadir node chain.rlp").succeeded();
    home.write("dev.json", include_str!("../../../genesis/dev.json"));
    home
}

fn start(home: &Home, datadir: &str) {
    home.run(&format!("init dev.json --datadir {datadir}")).succeeded();
}

#[test]
fn a_chain_goes_through_files_whole_and_in_ranges() {
    let home = exported();
    start(&home, "whole");
    let imported = home.run("import --datadir whole chain.rlp");
    assert!(imported.err.contains("blocks=11") && imported.err.contains("transactions=10"), "{}", imported.err);
    imported.succeeded();
    assert_eq!(home.head("whole"), home.head("node"));
    home.verify("whole");
    // Once more: all of it is known.
    let again = home.run("import --datadir whole chain.rlp");
    assert!(again.err.contains("known=11"), "{}", again.err);
    assert_eq!(home.head("whole"), home.head("node"));

    home.run("export --datadir node first.rlp 1 4").succeeded();
    home.run("export --datadir node rest.rlp 5").succeeded();
    start(&home, "pieces");
    home.run("import --datadir pieces first.rlp rest.rlp").succeeded();
    assert_eq!(home.head("pieces"), home.head("node"));
    // What was imported exports as the same bytes.
    home.run("export --datadir pieces again.rlp").succeeded();
    assert!(home.read("again.rlp") == home.read("chain.rlp"));
    assert_eq!(
        [home.read("first.rlp"), home.read("rest.rlp")].concat(),
        home.read("chain.rlp")[genesis_length(&home)..]
    );
}

fn genesis_length(home: &Home) -> usize {
    home.run("export --datadir node genesis.rlp 0 0").succeeded();
    home.read("genesis.rlp").len()
}

#[test]
fn ranges_that_are_not_on_the_chain_are_refused_and_leave_no_file() {
    let home = exported();
    for range in ["0 11", "7 6", "11", "100 200"] {
        home.run(&format!("export --datadir node none.rlp {range}")).failed(2, &["not on the chain, whose head is 10"]);
        assert!(!home.join("none.rlp").exists());
    }
    home.run("export --datadir node absent/none.rlp").failed(74, &["absent/none.rlp"]);
}

#[test]
fn broken_files_are_refused_and_what_came_before_the_break_stays() {
    let home = exported();
    let whole = home.read("chain.rlp");
    let genesis = genesis_length(&home);
    home.run("export --datadir node first.rlp 1 4").succeeded();
    let first = home.read("first.rlp").len();

    home.write("truncated.rlp", &whole[..genesis + first + 40]);
    home.write("garbage.rlp", random_bytes(7, 8000));
    home.write("tail.rlp", [&whole[..genesis + first], &random_bytes(9, 100)].concat());
    home.write("huge.rlp", [0xff; 9]);
    home.write("text.rlp", "not a chain");
    let mut flipped = whole;
    flipped[genesis + first + 60] ^= 1;
    home.write("flipped.rlp", flipped);
    for (file, head, expected) in [
        ("truncated.rlp", 4, "ends within an item"),
        ("garbage.rlp", 0, "item 0"),
        ("tail.rlp", 4, "block file: item"),
        ("huge.rlp", 0, "item 0"),
        ("text.rlp", 0, "item 0"),
        ("flipped.rlp", 4, "block 5"),
    ] {
        let datadir = format!("for-{file}");
        start(&home, &datadir);
        home.run(&format!("import --datadir {datadir} {file}")).failed(65, &[file, expected, "the blocks before it"]);
        assert_eq!(home.head(&datadir).1, head, "{file}");
        home.verify(&datadir);
        // The whole file mends it.
        home.run(&format!("import --datadir {datadir} chain.rlp")).succeeded();
        assert_eq!(home.head(&datadir), home.head("node"), "{file}");
    }
    home.run("import --datadir node absent.rlp").failed(74, &["absent.rlp"]);
}

#[test]
fn another_chains_blocks_are_refused() {
    let home = exported();
    home.run("export --datadir node later.rlp 3").succeeded();
    let other = super::support::chain_file(serde_json::json!({"empty_blocks": "always"}));
    home.write("other.json", other.to_string().replace("1767225600", "1767225601"));
    home.run("init other.json --datadir other").succeeded();
    for file in ["chain.rlp", "later.rlp"] {
        home.run(&format!("import --datadir other {file}")).failed(65, &[file, "block "]);
        assert_eq!(home.head("other").1, 0);
    }
}

#[test]
fn files_whose_names_end_in_gz_are_compressed_and_read_by_what_is_in_them() {
    let home = exported();
    home.run("export --datadir node chain.rlp.gz").succeeded();
    let packed = home.read("chain.rlp.gz");
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < home.read("chain.rlp").len(), "{} bytes", packed.len());
    home.write("renamed.rlp", &packed);
    for (datadir, file) in [("gz", "chain.rlp.gz"), ("renamed", "renamed.rlp")] {
        start(&home, datadir);
        home.run(&format!("import --datadir {datadir} {file}")).succeeded();
        assert_eq!(home.head(datadir), home.head("node"));
    }
    home.write("cut.rlp.gz", &packed[..packed.len() / 2]);
    start(&home, "cut");
    assert_ne!(home.run("import --datadir cut cut.rlp.gz").code, 0);
}

#[test]
fn the_file_of_another_chain_is_refused_by_its_genesis_block() {
    let home = exported();
    home.run("import --datadir other chain.rlp").failed(65, &["chain.rlp", "the genesis block differs"]);
}
