//! Finds out what was typed comes to: asks the node where the node is meant.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::I256;
use serde_json::{Value as Json, json};

use super::helpers;
use super::link::{Link, LinkError};
use super::names;
use super::syntax::{Expression, Operator, SyntaxError, read};
use super::value::{Function, Value};

/// Says why a line comes to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The line cannot be read.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A name means nothing.
    #[error("ReferenceError: {0} is not defined")]
    Unknown(String),
    /// A value cannot do what is asked of it.
    #[error("TypeError: {0}")]
    Type(String),
    /// The node refuses, or does not answer.
    #[error(transparent)]
    Link(#[from] LinkError),
}

fn wrong(text: impl Into<String>) -> Trouble {
    Trouble::Type(text.into())
}

/// Asks a person for a password.
pub(super) type AskPassword = fn(&str) -> std::io::Result<String>;

/// A connection and what was given names.
pub(super) struct Session {
    link: Link,
    /// The namespaces of the node.
    pub(super) namespaces: BTreeSet<String>,
    pub(super) variables: BTreeMap<String, Value>,
    ask_password: Option<AskPassword>,
}

impl Session {
    /// Begins a session: asks which namespaces there are.
    pub(super) fn begin(mut link: Link, ask_password: Option<AskPassword>) -> Result<Self, LinkError> {
        let modules = link.call("rpc_modules", json!([]))?;
        let namespaces = modules.as_object().into_iter().flat_map(|modules| modules.keys().cloned()).collect();
        Ok(Self { link, namespaces, variables: BTreeMap::new(), ask_password })
    }

    /// Returns what a line comes to; nothing for an empty one.
    pub(super) fn line(&mut self, line: &str) -> Result<Value, Trouble> {
        let mut last = Value::Undefined;
        for expression in read(line)? {
            last = self.value(&expression)?;
        }
        Ok(last)
    }

    /// Returns what an expression comes to; a property is asked for.
    fn value(&mut self, expression: &Expression) -> Result<Value, Trouble> {
        match self.evaluate(expression)? {
            Value::Function(Function::Method(method)) if names::is_property(&method) => self.call_method(&method, &[]),
            other => Ok(other),
        }
    }

    fn values(&mut self, expressions: &[Expression]) -> Result<Vec<Value>, Trouble> {
        expressions.iter().map(|expression| self.value(expression)).collect()
    }

    fn evaluate(&mut self, expression: &Expression) -> Result<Value, Trouble> {
        match expression {
            Expression::Number(text) => Value::number(text).ok_or_else(|| wrong(format!("{text} is no number"))),
            Expression::Text(text) => Ok(Value::Text(text.clone())),
            Expression::Name(name) => self.named(name),
            Expression::List(values) => Ok(Value::List(self.values(values)?)),
            Expression::Object(fields) => {
                let read = fields.iter().map(|(name, value)| Ok((name.clone(), self.value(value)?)));
                Ok(Value::Object(read.collect::<Result<_, Trouble>>()?))
            }
            Expression::Member(of, name) => {
                let of = self.value(of)?;
                self.member(of, name)
            }
            Expression::Index(of, at) => {
                let (of, at) = (self.value(of)?, self.value(at)?);
                self.index(of, &at)
            }
            Expression::Call(of, with) => {
                let of = self.evaluate(of)?;
                let with = self.values(with)?;
                self.call(of, &with)
            }
            Expression::Not(of) => Ok(Value::Bool(!self.value(of)?.is_true())),
            Expression::Negative(of) => {
                let of = self.value(of)?;
                both(Operator::Subtract, &Value::integer(0), &of)
            }
            Expression::Both(Operator::And, left, right) => {
                let left = self.value(left)?;
                if left.is_true() { self.value(right) } else { Ok(left) }
            }
            Expression::Both(Operator::Or, left, right) => {
                let left = self.value(left)?;
                if left.is_true() { Ok(left) } else { self.value(right) }
            }
            Expression::Both(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                both(*operator, &left, &right)
            }
            Expression::Choice(condition, then, other) => {
                let is_true = self.value(condition)?.is_true();
                self.value(if is_true { then } else { other })
            }
            Expression::Let(name, value) => {
                let value = self.value(value)?;
                self.variables.insert(name.clone(), value);
                Ok(Value::Undefined)
            }
        }
    }

    fn named(&self, name: &str) -> Result<Value, Trouble> {
        if let Some(value) = self.variables.get(name) {
            return Ok(value.clone());
        }
        match name {
            "true" | "false" => Ok(Value::Bool(name == "true")),
            "null" => Ok(Value::Null),
            "undefined" => Ok(Value::Undefined),
            "web3" => Ok(Value::Place(name.to_owned())),
            _ if self.namespaces.contains(name) => Ok(Value::Place(name.to_owned())),
            _ => Err(Trouble::Unknown(name.to_owned())),
        }
    }

    fn member(&self, of: Value, name: &str) -> Result<Value, Trouble> {
        if let Some(helper) = helpers::of_value(&of, name) {
            return Ok(helper);
        }
        match of {
            Value::Place(place) if place == "web3" && self.namespaces.contains(name) && name != "web3" => {
                Ok(Value::Place(name.to_owned()))
            }
            Value::Place(place) => Ok(match helpers::in_place(&place, name) {
                Some(helper) => helper,
                None => Value::Function(Function::Method(names::method(&place, name))),
            }),
            Value::Object(fields) => {
                let found = fields.into_iter().find(|(known, _)| known == name);
                Ok(found.map_or(Value::Undefined, |(_, value)| value))
            }
            Value::Undefined | Value::Null => Err(wrong(format!("Cannot read property '{name}' of {}", of.to_text()))),
            _ => Ok(Value::Undefined),
        }
    }

    fn index(&self, of: Value, at: &Value) -> Result<Value, Trouble> {
        match (&of, at.as_integer().and_then(|at| usize::try_from(at).ok())) {
            (Value::List(values), Some(at)) => Ok(values.get(at).cloned().unwrap_or(Value::Undefined)),
            (Value::Text(text), Some(at)) => {
                Ok(text.chars().nth(at).map_or(Value::Undefined, |character| Value::Text(character.to_string())))
            }
            _ => self.member(of, &at.to_text()),
        }
    }

    fn call(&mut self, of: Value, with: &[Value]) -> Result<Value, Trouble> {
        match of {
            Value::Function(Function::Method(method)) => self.call_method(&method, with),
            Value::Function(Function::Helper(name)) => helpers::call(name, with).map_err(Trouble::Type),
            Value::Function(Function::Of(value, name)) => helpers::call_of(&value, name, with).map_err(Trouble::Type),
            other => Err(wrong(format!("{} is no function", other.to_text()))),
        }
    }

    fn call_method(&mut self, name: &str, with: &[Value]) -> Result<Value, Trouble> {
        let method = names::resolved(name, with);
        let with = self.with_password(&method, with)?;
        let params = names::to_params(&method, &with).map_err(Trouble::Type)?;
        Ok(names::from_result(&method, self.link.call(&method, params)?))
    }

    /// Asks for the password of an account that nobody typed: so it is neither seen nor kept.
    fn with_password(&self, method: &str, with: &[Value]) -> Result<Vec<Value>, Trouble> {
        let mut with = with.to_vec();
        let (place, is_new) = match method {
            "personal_newAccount" => (0, true),
            "personal_unlockAccount" | "personal_sendTransaction" | "personal_signTransaction" => (1, false),
            _ => return Ok(with),
        };
        let is_missing = with.len() == place || matches!(with.get(place), Some(Value::Null | Value::Undefined));
        let (true, Some(ask)) = (is_missing, self.ask_password) else { return Ok(with) };
        let asked = |prompt: &str| ask(prompt).map_err(|error| wrong(format!("no password: {error}")));
        let password = asked("Password: ")?;
        if is_new && asked("Repeat password: ")? != password {
            return Err(wrong("the passwords differ"));
        }
        match with.get_mut(place) {
            Some(given) => *given = Value::Text(password),
            None => with.push(Value::Text(password)),
        }
        Ok(with)
    }

    /// Asks the node without words: what cannot be had is `None`.
    pub(super) fn ask(&mut self, method: &str) -> Option<Json> {
        self.link.call(method, json!([])).ok()
    }
}

/// Computes with two values.
fn both(operator: Operator, left: &Value, right: &Value) -> Result<Value, Trouble> {
    let cannot = || wrong(format!("{} and {} cannot be computed with", left.to_text(), right.to_text()));
    match operator {
        Operator::Equal => return Ok(Value::Bool(is_equal(left, right))),
        Operator::Unequal => return Ok(Value::Bool(!is_equal(left, right))),
        Operator::Add if matches!(left, Value::Text(_)) || matches!(right, Value::Text(_)) => {
            return Ok(Value::Text(left.to_text() + &right.to_text()));
        }
        _ => {}
    }
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => match whole(operator, *left, *right) {
            Some(value) => Ok(value),
            None => Err(wrong("the result has more than 256 bits")),
        },
        _ => {
            let (left, right) = (left.as_decimal().ok_or_else(cannot)?, right.as_decimal().ok_or_else(cannot)?);
            Ok(decimal(operator, left, right))
        }
    }
}

fn is_equal(left: &Value, right: &Value) -> bool {
    match (left.as_integer(), right.as_integer()) {
        (Some(left), Some(right)) => left == right,
        _ => {
            left == right
                || (matches!(left, Value::Null | Value::Undefined) && matches!(right, Value::Null | Value::Undefined))
        }
    }
}

/// Computes with whole numbers; a quotient that is none is a decimal one.
fn whole(operator: Operator, left: I256, right: I256) -> Option<Value> {
    let number = |result: Option<I256>| result.map(Value::Integer);
    match operator {
        Operator::Add => number(left.checked_add(right)),
        Operator::Subtract => number(left.checked_sub(right)),
        Operator::Multiply => number(left.checked_mul(right)),
        Operator::Divide if right.is_zero() || left.checked_rem(right) != Some(I256::ZERO) => {
            let decimals = (Value::Integer(left).as_decimal()?, Value::Integer(right).as_decimal()?);
            Some(decimal(operator, decimals.0, decimals.1))
        }
        Operator::Divide => number(left.checked_div(right)),
        Operator::Remainder if right.is_zero() => Some(Value::Decimal(f64::NAN)),
        Operator::Remainder => number(left.checked_rem(right)),
        Operator::Less => Some(Value::Bool(left < right)),
        Operator::More => Some(Value::Bool(left > right)),
        Operator::AtMost => Some(Value::Bool(left <= right)),
        Operator::AtLeast => Some(Value::Bool(left >= right)),
        Operator::Equal | Operator::Unequal | Operator::And | Operator::Or => None,
    }
}

fn decimal(operator: Operator, left: f64, right: f64) -> Value {
    match operator {
        Operator::Add => Value::Decimal(left + right),
        Operator::Subtract => Value::Decimal(left - right),
        Operator::Multiply => Value::Decimal(left * right),
        Operator::Divide => Value::Decimal(left / right),
        Operator::Remainder => Value::Decimal(left % right),
        Operator::Less => Value::Bool(left < right),
        Operator::More => Value::Bool(left > right),
        Operator::AtMost => Value::Bool(left <= right),
        Operator::AtLeast => Value::Bool(left >= right),
        Operator::Equal | Operator::Unequal | Operator::And | Operator::Or => Value::Undefined,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::console::show::show;

    /// A node that answers from a list, and repeats what it is asked otherwise.
    fn session() -> Session {
        let link = Link::scripted(|method, params| match method {
            "rpc_modules" => Ok(json!({"eth": "1.0", "personal": "1.0", "net": "1.0", "txpool": "1.0"})),
            "eth_blockNumber" => Ok(json!("0x10")),
            "eth_accounts" => Ok(json!(["0xaa", "0xbb"])),
            "eth_getBalance" => Ok(json!("0xde0b6b3a7640000")),
            "txpool_status" => Ok(json!({"pending": "0x1", "queued": "0x0"})),
            "eth_fails" => Err("header not found".to_owned()),
            other => Ok(json!({"method": other, "params": params})),
        });
        Session::begin(link, Some(|_| Ok("secret".to_owned()))).unwrap()
    }

    fn check(line: &str) -> String {
        match session().line(line) {
            Ok(value) => show(&value).replace("\n", "").replace("  ", ""),
            Err(trouble) => trouble.to_string(),
        }
    }

    #[test]
    fn lines_come_to_what_the_node_says() {
        for (line, expected) in [
            ("eth.blockNumber", "16"),
            ("eth.blockNumber()", "16"),
            ("web3.eth.blockNumber + 1", "17"),
            ("eth.accounts[1]", "\"0xbb\""),
            ("eth.accounts.length", "2"),
            ("eth.accounts[5]", "undefined"),
            ("eth.getBalance(eth.accounts[0])", "1000000000000000000"),
            ("web3.fromWei(eth.getBalance('0xaa'), 'ether')", "\"1\""),
            ("txpool.status", "{pending: 1,queued: 0}"),
            ("txpool.status.pending > 0 && eth.blockNumber != 3", "true"),
            ("var a = eth.accounts; a[0] + '!'", "\"0xaa!\""),
            ("x = 5; x * 2 - 3", "7"),
            ("7 / 2", "3.5"),
            ("6 / 2", "3"),
            ("2 - 3", "-1"),
            ("-2 * 3", "-6"),
            ("10 % 4", "2"),
            ("1e18 == web3.toWei(1, 'ether')", "true"),
            ("null == undefined", "true"),
            ("eth.getBlock(5).params[0]", "\"0x5\""),
            ("eth.blockNumber > 3 ? 'far' : 'near'", "\"far\""),
            ("personal.newAccount().params", "[\"secret\"]"),
            ("personal.unlockAccount('0xaa', 'given', 60).params", "[\"0xaa\", \"given\", 60]"),
            ("personal.unlockAccount('0xaa', null, 60).params", "[\"0xaa\", \"secret\", 60]"),
            ("eth.getBlockByHash", "function eth.getBlockByHash(hash, full?)"),
            ("eth.fails()", "Error: header not found"),
            ("nothing", "ReferenceError: nothing is not defined"),
            ("admin.peers", "ReferenceError: admin is not defined"),
            ("null.x", "TypeError: Cannot read property 'x' of null"),
            ("5()", "TypeError: 5 is no function"),
            ("[1] - 1", "TypeError: 1 and 1 cannot be computed with"),
            ("eth.", "SyntaxError: the line ends too early"),
            ("", "undefined"),
        ] {
            assert_eq!(check(line), expected, "{line}");
        }
    }

    #[test]
    fn without_anybody_to_ask_a_password_must_be_given() {
        let link = Link::scripted(|method, params| match method {
            "rpc_modules" => Ok(json!({"personal": "1.0"})),
            _ => Ok(params),
        });
        let mut session = Session::begin(link, None).unwrap();
        assert_eq!(session.line("personal.newAccount()").unwrap(), Value::List(vec![]));
    }
}
