//! The two published formats: `.io` files of the specification, and Besu's JSON files.

use std::fs;
use std::path::{Path, PathBuf};

use bench::Failure;
use serde_json::Value;

/// Requests of one case, in order, each with what is expected.
pub(super) struct Case {
    pub(super) exchanges: Vec<Exchange>,
    /// Whether results are only held against the specification's schema.
    pub(super) is_schema_only: bool,
}

/// A request and its answer.
pub(super) struct Exchange {
    /// JSON text, sent as it is.
    pub(super) request: String,
    /// The whole response: an object, or a list for a batch.
    pub(super) expected: Value,
}

impl Exchange {
    /// Returns the method that the request names, empty for a batch.
    pub(super) fn method(&self) -> String {
        let request: Value = serde_json::from_str(&self.request).unwrap_or_default();
        request["method"].as_str().unwrap_or_default().to_owned()
    }
}

/// Returns the files of cases below a chain's folder, sorted.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut open: Vec<_> =
        ["tests", "specs"].map(|name| folder.join(name)).into_iter().filter(|at| at.is_dir()).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| kind == "io" || kind == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a case.
///
/// # Errors
/// The file cannot be read or is not of its format.
pub(super) fn read(path: &Path) -> Result<Case, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if path.extension().is_some_and(|kind| kind == "io") { read_io(&text) } else { read_besu(&text) }
}

/// `//` comment, `>> ` request, `<< ` answer.
fn read_io(text: &str) -> Result<Case, String> {
    let mut case = Case { exchanges: Vec::new(), is_schema_only: false };
    let mut asked = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("//") {
            case.is_schema_only |= comment.trim_start().starts_with("speconly");
        } else if let Some(request) = line.strip_prefix(">>") {
            asked = Some(request.trim().to_owned());
        } else if let Some(answer) = line.strip_prefix("<<") {
            let request = asked.take().ok_or("an answer without a request")?;
            let expected = serde_json::from_str(answer.trim()).map_err(|error| format!("answer: {error}"))?;
            case.exchanges.push(Exchange { request, expected });
        } else {
            return Err(format!("not a line of this format: {line}"));
        }
    }
    if case.exchanges.is_empty() { Err("no request".to_owned()) } else { Ok(case) }
}

fn read_besu(text: &str) -> Result<Case, String> {
    let mut file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (request, expected) = (file["request"].to_string(), file["response"].take());
    if expected.is_null() {
        return Err("no response".to_owned());
    }
    Ok(Case { exchanges: vec![Exchange { request, expected }], is_schema_only: false })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read() {
        let io = read_io("// one\n// speconly: why\n>> {\"method\":\"a\"}\n<< {\"result\":1}\n>> 2\n<< 3\n").unwrap();
        assert!(io.is_schema_only);
        assert_eq!(io.exchanges[0].method(), "a");
        assert_eq!(io.exchanges[1].expected, 3);
        let besu = read_besu("{\"request\":[1],\"response\":[2],\"statusCode\":200}").unwrap();
        assert_eq!((besu.exchanges[0].request.as_str(), &besu.exchanges[0].expected[0]), ("[1]", &2.into()));
        for text in ["", "<< 1", "what", ">> 1"] {
            assert!(read_io(text).is_err(), "{text}");
        }
        assert!(read_besu("{}").is_err());
    }
}
