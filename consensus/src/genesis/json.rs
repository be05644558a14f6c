//! JSON as chain files have it: names in any case, numbers of any size as number, hex or decimal text, `null` for absent.
//! Values are read from their text, so that a number beyond 64 bits keeps all its digits.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{GenesisError, GenesisWarning};

/// What [`kind`] calls an object.
const OBJECT: &str = "an object";

/// Names the result of reading one value.
pub(super) type Read<T> = Result<T, GenesisError>;

/// Reads a whole file, which holds one object, with or without a byte-order mark.
pub(super) fn document(json: &str) -> Read<Object<'_>> {
    let text = json.strip_prefix('\u{feff}').unwrap_or(json);
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| GenesisError::Json(error.to_string()))?;
    if kind(raw) != OBJECT {
        return Err(GenesisError::Json(format!("found {}", kind(raw))));
    }
    Object::read(raw)
}

/// Holds an object's fields while they are taken out one by one.
pub(super) struct Object<'a> {
    fields: Vec<Field<'a>>,
    known: Vec<&'static str>,
}

struct Field<'a> {
    name: String,
    value: &'a RawValue,
    taken: bool,
}

impl<'a> Object<'a> {
    /// Reads an object's names; values stay text.
    pub(super) fn read(raw: &'a RawValue) -> Read<Self> {
        let mut seen = BTreeMap::new();
        let entries = entries(raw)?;
        // Besu's own files comment an account twice.
        for (name, _) in entries.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("comment")) {
            if let Some(first) = seen.insert(name.to_ascii_lowercase(), name) {
                let problem =
                    if first == name { "given twice".to_owned() } else { format!("given twice, also as {first}") };
                return Err(GenesisError::at(name, problem));
            }
        }
        let fields = entries.into_iter().map(|(name, value)| Field { name, value, taken: false }).collect();
        Ok(Self { fields, known: Vec::new() })
    }

    /// Takes a field out and reads its value; an absent field and `null` are `None`.
    pub(super) fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Read<T>,
    ) -> Read<Option<T>> {
        self.known.push(name);
        let Some(field) = self.fields.iter_mut().find(|field| field.name.eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        field.taken = true;
        if field.value.get() == "null" {
            return Ok(None);
        }
        read(field.value).map(Some).map_err(|error| error.within(name))
    }

    /// Takes out fields that are known and mean nothing here.
    pub(super) fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            self.known.push(name);
            self.fields
                .iter_mut()
                .filter(|field| field.name.eq_ignore_ascii_case(name))
                .for_each(|field| field.taken = true);
        }
    }

    /// Takes out a field that has no effect, with a warning that says so.
    pub(super) fn note(
        &mut self,
        name: &'static str,
        note: &'static str,
        warnings: &mut Vec<GenesisWarning>,
    ) -> Read<()> {
        if self.take(name, |_| Ok(()))?.is_some() {
            warnings.push(GenesisWarning { field: name.to_owned(), nearest: None, note: Some(note) });
        }
        Ok(())
    }

    /// Warns of each field that nobody took, `path` being where the object stands.
    pub(super) fn finish(self, path: &str, warnings: &mut Vec<GenesisWarning>) {
        let unknown = self.fields.iter().filter(|field| !field.taken);
        warnings.extend(unknown.map(|field| {
            let nearest = nearest(&field.name, &self.known);
            GenesisWarning { field: field.name.clone(), nearest, note: None }.within(path)
        }));
    }
}

/// Returns the known name that is fewest edits away, when that is at most a third of the name.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let edits = |candidate: &str| strsim::damerau_levenshtein(&name, &candidate.to_ascii_lowercase());
    // Distances cost the product of the lengths: a name much longer than any known one is no misspelling.
    let comparable = known.iter().filter(|candidate| name.len() <= 2 * candidate.len());
    let (distance, best) = comparable.map(|candidate| (edits(candidate), *candidate)).min()?;
    (distance <= (name.len() / 3).max(1)).then_some(best)
}

/// Reads an object as names and values in the order of the file.
pub(super) fn entries(raw: &RawValue) -> Read<Vec<(String, &RawValue)>> {
    struct Entries<'a>(Vec<(String, &'a RawValue)>);
    struct EntriesVisitor;

    impl<'de> Visitor<'de> for EntriesVisitor {
        type Value = Entries<'de>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(Entries(entries))
        }
    }

    impl<'de> Deserialize<'de> for Entries<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(EntriesVisitor)
        }
    }

    if kind(raw) != OBJECT {
        return Err(GenesisError::here(format!("expected an object, found {}", kind(raw))));
    }
    serde_json::from_str::<Entries<'_>>(raw.get())
        .map(|entries| entries.0)
        .map_err(|error| GenesisError::here(error.to_string()))
}

/// Reads a list.
pub(super) fn list(raw: &RawValue) -> Read<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).map_err(|_| GenesisError::here(format!("expected a list, found {}", kind(raw))))
}

/// Reads a text.
pub(super) fn text(raw: &RawValue) -> Read<String> {
    serde_json::from_str(raw.get()).map_err(|_| GenesisError::here(format!("expected a text, found {}", kind(raw))))
}

/// Reads `true` or `false`.
pub(super) fn boolean(raw: &RawValue) -> Read<bool> {
    match raw.get() {
        "true" | "\"true\"" => Ok(true),
        "false" | "\"false\"" => Ok(false),
        _ => Err(GenesisError::here(format!("expected true or false, found {}", kind(raw)))),
    }
}

/// Reads a whole number below 2^256: a JSON number, decimal text or hex text with 0x. Empty text is 0, as in geth.
pub(super) fn number(raw: &RawValue) -> Read<U256> {
    let text = match kind(raw) {
        "a text" => text(raw)?,
        "a number" => raw.get().to_owned(),
        other => return Err(GenesisError::here(format!("expected a number, found {other}"))),
    };
    number_of_text(text.trim())
}

fn number_of_text(text: &str) -> Read<U256> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    if digits.is_empty() {
        return Ok(U256::ZERO);
    }
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        let problem = format!("{} is no whole number (decimal, or hex with 0x)", excerpt(text));
        return Err(GenesisError::here(problem));
    }
    U256::from_str_radix(digits, u64::from(radix)).map_err(|_| GenesisError::here("larger than 256 bits"))
}

/// Reads a whole number below 2^64.
pub(super) fn number_u64(raw: &RawValue) -> Read<u64> {
    u64::try_from(number(raw)?).map_err(|_| GenesisError::here("larger than 64 bits"))
}

/// Reads hex bytes with or without 0x.
pub(super) fn bytes(raw: &RawValue) -> Read<Bytes> {
    let text = text(raw)?;
    hex::decode(without_prefix(&text)).map(Bytes::from).map_err(|error| GenesisError::here(format!("not hex: {error}")))
}

/// Reads a hash or a storage word: up to 64 hex digits with or without 0x, shorter ones filled with zeros in front.
pub(super) fn word(raw: &RawValue) -> Read<B256> {
    word_of_text(&text(raw)?)
}

/// Reads the text of a word, as storage keys have it.
pub(super) fn word_of_text(text: &str) -> Read<B256> {
    let digits = without_prefix(text);
    if digits.len() > 64 {
        return Err(GenesisError::here(format!("{} hex digits, at most 64", digits.len())));
    }
    let mut word = B256::ZERO;
    hex::decode_to_slice(format!("{digits:0>64}"), &mut word.0)
        .map_err(|error| GenesisError::here(format!("not hex: {error}")))?;
    Ok(word)
}

/// Reads an address.
pub(super) fn address(raw: &RawValue) -> Read<Address> {
    address_of_text(&text(raw)?)
}

/// Reads the text of an address: 40 hex digits with or without 0x; a checksum in upper and lower case is not looked at.
pub(super) fn address_of_text(text: &str) -> Read<Address> {
    let digits = without_prefix(text.trim());
    let mut address = Address::ZERO;
    match hex::decode_to_slice(digits, &mut address.0.0) {
        Ok(()) => Ok(address),
        Err(_) => {
            let count = digits.chars().count();
            Err(GenesisError::here(format!(
                "{} is no address: expected 40 hex digits, found {count} characters",
                excerpt(text)
            )))
        }
    }
}

fn without_prefix(text: &str) -> &str {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text)
}

/// Names what a value is.
pub(super) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => OBJECT,
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Quotes the beginning of a text for a message.
pub(super) fn excerpt(text: &str) -> String {
    /// Messages stay on one line.
    const CHARS_MAX: usize = 60;
    let shown: String = text.chars().take(CHARS_MAX).collect();
    if shown.len() < text.len() { format!("{shown:?}…") } else { format!("{shown:?}") }
}
