//! What helps while typing: names are completed, an unfinished line goes on, and secrets stay out of the history.

use std::collections::BTreeMap;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::evaluate::Session;
use super::syntax::{SyntaxError, read};
use super::{helpers, names};

/// Words after which a line may hold a password or a key.
const SECRET: [&str; 3] = ["personal.", "personal[", "unlock"];

/// The names that can be typed: those that can stand first, and the members of places.
#[derive(Debug, Default)]
pub(super) struct Typing {
    first: Vec<String>,
    members: BTreeMap<String, Vec<String>>,
}

impl Typing {
    /// Collects the names of a session.
    pub(super) fn new(session: &Session) -> Self {
        let places: Vec<&str> = session.namespaces.iter().map(String::as_str).chain(["web3"]).collect();
        let mut members: BTreeMap<String, Vec<String>> =
            places.iter().map(|place| ((*place).to_owned(), names::members(place))).collect();
        let web3 = members.entry("web3".to_owned()).or_default();
        web3.extend(helpers::WEB3.map(str::to_owned));
        web3.extend(session.namespaces.iter().filter(|name| *name != "web3").cloned());
        web3.sort();
        let mut first: Vec<String> = places.into_iter().map(str::to_owned).collect();
        first.extend(session.variables.keys().cloned());
        first.push("exit".to_owned());
        first.sort();
        first.dedup();
        Self { first, members }
    }

    /// Returns where the word before the cursor begins, and what it may become.
    fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || c == '.';
        let start =
            before.rfind(|c| !is_part(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        match word.rsplit_once('.') {
            None => (start, self.first.iter().filter(|name| name.starts_with(word)).cloned().collect()),
            Some((place, part)) => {
                let place = place.strip_prefix("web3.").unwrap_or(place);
                let members = self.members.get(place).into_iter().flatten();
                let fitting = members.filter(|name| name.starts_with(part)).cloned().collect();
                (start + word.len() - part.len(), fitting)
            }
        }
    }
}

impl Helper for Typing {}

impl Highlighter for Typing {}

impl Hinter for Typing {
    type Hint = String;
}

impl Completer for Typing {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, candidates) = self.candidates(line, cursor);
        let pair = |name: String| Pair { display: name.clone(), replacement: name };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

impl Validator for Typing {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match read(context.input()) {
            // A dot at the end is more likely a slip than a line to come.
            Err(SyntaxError::Unfinished) if !context.input().trim_end().ends_with('.') => ValidationResult::Incomplete,
            _ => ValidationResult::Valid(None),
        })
    }
}

/// Tells whether a line may be kept in the history: what may hold a password is not.
pub(super) fn may_be_kept(line: &str) -> bool {
    !line.starts_with(' ') && !SECRET.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::console::link::Link;
    use serde_json::json;

    fn typing() -> Typing {
        let link = Link::scripted(|_, _| Ok(json!({"eth": "1.0", "txpool": "1.0", "web3": "1.0"})));
        let mut session = Session::begin(link, None).unwrap();
        session.line("ether = 1").unwrap();
        Typing::new(&session)
    }

    #[test]
    fn names_are_completed_where_they_stand() {
        let typing = typing();
        for (line, start, expected) in [
            ("et", 0, vec!["eth", "ether"]),
            ("1 + tx", 4, vec!["txpool"]),
            ("eth.blockN", 4, vec!["blockNumber"]),
            ("web3.fromW", 5, vec!["fromWei"]),
            ("web3.eth.blockN", 9, vec!["blockNumber"]),
            ("web3.tx", 5, vec!["txpool"]),
            ("eth.getBalance(eth.acc", 19, vec!["accounts"]),
            ("é+txp", 3, vec!["txpool"]),
            ("nothing.x", 8, vec![]),
        ] {
            let (at, candidates) = typing.candidates(line, line.len());
            assert_eq!((at, candidates), (start, expected.into_iter().map(str::to_owned).collect()), "{line}");
        }
    }

    #[test]
    fn secrets_are_not_kept() {
        for (line, expected) in [
            ("eth.blockNumber", true),
            ("personal.newAccount('x')", false),
            ("web3.personal.unlockAccount(a, 'x')", false),
            (" eth.blockNumber", false),
        ] {
            assert_eq!(may_be_kept(line), expected, "{line}");
        }
    }
}
