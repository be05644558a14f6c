//! Typed data (EIP-712): from the JSON that wallets and libraries send to the digest that is signed.
//!
//! Types may refer to themselves and to each other in any way, so nothing here expands a type: types are hashed by name, and what is walked
//! is the message, whose depth its JSON bounds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, keccak256};
use serde::Deserialize;
use serde_json::{Map, Value};

mod value;

use value::atom;

/// The name of the domain's own type.
const DOMAIN: &str = "EIP712Domain";

/// The members that a domain may have where its type is not given, in their order (EIP-712, definition of domainSeparator).
const DOMAIN_MEMBERS: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];

/// The most types of one request, and the most bytes that their names and members take: each type's text is put together with those that it
/// refers to, so that both bound the work.
const TYPES_MAX: usize = 256;
const TYPES_SIZE_BYTES_MAX: usize = 64 * 1024;

/// Says why data cannot be hashed, with the path of what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedDataError {
    /// Not the JSON of typed data.
    #[error("not typed data: {0}")]
    Json(String),
    /// The types are too many or too long.
    #[error("the types are too large: at most {TYPES_MAX} of them and {TYPES_SIZE_BYTES_MAX} bytes")]
    TooLarge,
    /// A name that no type or member can have.
    #[error("types: {0:?} is no name of a type or member")]
    Name(String),
    /// A type is named that is neither built in nor given.
    #[error("types: {0} is not given")]
    MissingType(String),
    /// A value does not fit its type.
    #[error("{path}: {problem}")]
    Value {
        /// Where the value stands, such as `message.to.wallet`.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl TypedDataError {
    fn value(path: &str, problem: impl Into<String>) -> Self {
        Self::Value { path: path.to_owned(), problem: problem.into() }
    }
}

/// A member of a struct type.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Member {
    name: String,
    r#type: String,
}

/// Holds a message with the types that give it its meaning.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypedData {
    types: BTreeMap<String, Vec<Member>>,
    primary_type: String,
    #[serde(default)]
    domain: Map<String, Value>,
    #[serde(default)]
    message: Map<String, Value>,
    /// The hashes of struct types that were needed so far.
    #[serde(skip)]
    type_hashes: RefCell<BTreeMap<String, B256>>,
}

impl TypedData {
    /// Reads `{types, primaryType, domain, message}`. The type of the domain may be left out: then it has the members that the domain has.
    ///
    /// # Errors
    /// Not that JSON, too large, or names that break the encoding of types.
    pub fn parse(json: Value) -> Result<Self, TypedDataError> {
        let mut data: Self = serde_json::from_value(json).map_err(|error| TypedDataError::Json(error.to_string()))?;
        if !data.types.contains_key(DOMAIN) {
            let members = domain_members(&data.domain)?;
            data.types.insert(DOMAIN.to_owned(), members);
        }
        data.check_types()?;
        Ok(data)
    }

    /// Returns what is signed: keccak256 of 0x1901, the domain's hash and the message's hash.
    ///
    /// # Errors
    /// A value does not fit its type, or a type is missing.
    pub fn digest(&self) -> Result<B256, TypedDataError> {
        let mut bytes = vec![0x19, 0x01];
        bytes.extend_from_slice(self.domain_separator()?.as_slice());
        if self.primary_type != DOMAIN {
            bytes.extend_from_slice(self.hash_message()?.as_slice());
        }
        Ok(keccak256(bytes))
    }

    /// Returns the domain's hash.
    ///
    /// # Errors
    /// As [`Self::digest`].
    pub fn domain_separator(&self) -> Result<B256, TypedDataError> {
        self.hash_struct(DOMAIN, &self.domain, "domain")
    }

    /// Returns the message's hash.
    ///
    /// # Errors
    /// As [`Self::digest`].
    pub fn hash_message(&self) -> Result<B256, TypedDataError> {
        self.hash_struct(&self.primary_type, &self.message, "message")
    }

    fn check_types(&self) -> Result<(), TypedDataError> {
        let members = || self.types.values().flatten();
        let size: usize = self.types.keys().map(String::len).sum::<usize>()
            + members().map(|member| member.name.len() + member.r#type.len()).sum::<usize>();
        if self.types.len() > TYPES_MAX || size > TYPES_SIZE_BYTES_MAX {
            return Err(TypedDataError::TooLarge);
        }
        let roots = members().map(|member| root(&member.r#type));
        let names = members().map(|member| member.name.as_str());
        for name in self.types.keys().map(String::as_str).chain(roots).chain(names) {
            if !is_name(name) {
                return Err(TypedDataError::Name(name.to_owned()));
            }
        }
        Ok(())
    }

    /// EIP-712, hashStruct: keccak256 of the type's hash and a word for each member.
    fn hash_struct(&self, name: &str, values: &Map<String, Value>, path: &str) -> Result<B256, TypedDataError> {
        let members = self.members(name)?;
        if let Some(stranger) = values.keys().find(|key| members.iter().all(|member| member.name != **key)) {
            // What is shown to a person must be what is signed.
            return Err(TypedDataError::value(path, format!("{name} has no member {stranger:?}")));
        }
        let mut bytes = self.type_hash(name)?.to_vec();
        for member in members {
            let path = format!("{path}.{}", member.name);
            let value = values.get(&member.name).unwrap_or(&Value::Null);
            bytes.extend_from_slice(self.word(&member.r#type, value, &path)?.as_slice());
        }
        Ok(keccak256(bytes))
    }

    /// EIP-712, encodeData: the word that stands for one value.
    fn word(&self, kind: &str, value: &Value, path: &str) -> Result<B256, TypedDataError> {
        if let Some((inner, length)) = array_type(kind) {
            return self.array(inner, length, value, path);
        }
        if !self.types.contains_key(kind) {
            return atom(kind, value, path);
        }
        match value {
            Value::Object(values) => self.hash_struct(kind, values, path),
            // So that a type can refer to itself.
            Value::Null => Ok(B256::ZERO),
            _ => Err(TypedDataError::value(path, format!("expected an object of type {kind}"))),
        }
    }

    fn array(&self, inner: &str, length: &str, value: &Value, path: &str) -> Result<B256, TypedDataError> {
        let Value::Array(values) = value else {
            return Err(TypedDataError::value(path, format!("expected a list of type {inner}")));
        };
        if !length.is_empty() && length.parse() != Ok(values.len()) {
            return Err(TypedDataError::value(path, format!("expected {length} values, got {}", values.len())));
        }
        let mut bytes = Vec::with_capacity(32 * values.len());
        for (index, value) in values.iter().enumerate() {
            bytes.extend_from_slice(self.word(inner, value, &format!("{path}[{index}]"))?.as_slice());
        }
        Ok(keccak256(bytes))
    }

    fn members(&self, name: &str) -> Result<&[Member], TypedDataError> {
        self.types.get(name).map(Vec::as_slice).ok_or_else(|| TypedDataError::MissingType(name.to_owned()))
    }

    fn type_hash(&self, name: &str) -> Result<B256, TypedDataError> {
        if let Some(hash) = self.type_hashes.borrow().get(name) {
            return Ok(*hash);
        }
        let hash = keccak256(self.encode_type(name)?);
        self.type_hashes.borrow_mut().insert(name.to_owned(), hash);
        Ok(hash)
    }

    /// EIP-712, encodeType: the type itself, then all that it refers to, sorted by name.
    fn encode_type(&self, name: &str) -> Result<String, TypedDataError> {
        let mut referred = BTreeSet::new();
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            for member in self.members(next)? {
                let root = root(&member.r#type);
                if self.types.contains_key(root) && root != name && referred.insert(root) {
                    open.push(root);
                }
            }
        }
        let mut text = String::new();
        for name in std::iter::once(name).chain(referred) {
            let members = self.members(name)?.iter().map(|member| format!("{} {}", member.r#type, member.name));
            text.push_str(&format!("{name}({})", members.collect::<Vec<_>>().join(",")));
        }
        Ok(text)
    }
}

fn domain_members(domain: &Map<String, Value>) -> Result<Vec<Member>, TypedDataError> {
    let is_known = |key: &str| DOMAIN_MEMBERS.iter().any(|(name, _)| *name == key);
    if let Some(stranger) = domain.keys().find(|key| !is_known(key)) {
        let problem = format!("{stranger:?} is no member of a domain; give the type {DOMAIN}");
        return Err(TypedDataError::value("domain", problem));
    }
    let present = DOMAIN_MEMBERS.iter().filter(|(name, _)| domain.contains_key(*name));
    Ok(present.map(|(name, kind)| Member { name: (*name).to_owned(), r#type: (*kind).to_owned() }).collect())
}

/// Returns the type without its brackets.
fn root(kind: &str) -> &str {
    kind.split_once('[').map_or(kind, |(root, _)| root)
}

/// Splits `T[n]` or `T[]` into `T` and the text between the last brackets.
fn array_type(kind: &str) -> Option<(&str, &str)> {
    kind.strip_suffix(']')?.rsplit_once('[')
}

/// Tells whether Solidity takes `name` for one; anything else could make two types look the same.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$';
    name.bytes().enumerate().all(|(place, byte)| is_letter(byte) || (place > 0 && byte.is_ascii_digit()))
        && !name.is_empty()
}

#[cfg(test)]
mod tests;
