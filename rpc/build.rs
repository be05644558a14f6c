//! Makes cargo build this crate again when the desk was built anew: its files are embedded.

use std::fs;
use std::path::Path;

fn main() {
    let built = Path::new("../desk/dist");
    // A path that is not there would make cargo run this every time; an empty folder is watched, and git does not see it.
    if fs::create_dir_all(built).is_ok() {
        println!("cargo::rerun-if-changed={}", built.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
}
