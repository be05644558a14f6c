//! The console's language: the part of JavaScript's expressions that a person types at a node. Names, members, calls, literals of numbers,
//! texts, lists and objects, arithmetic, comparison, and `var x = …`. No functions, no loops.

/// How deep expressions may be nested.
const DEPTH_MAX: usize = 64;
/// Operators of two sides, with how tightly they bind.
const OPERATORS: [(&str, Operator, u8); 15] = [
    ("||", Operator::Or, 1),
    ("&&", Operator::And, 2),
    ("===", Operator::Equal, 3),
    ("!==", Operator::Unequal, 3),
    ("==", Operator::Equal, 3),
    ("!=", Operator::Unequal, 3),
    ("<=", Operator::AtMost, 4),
    (">=", Operator::AtLeast, 4),
    ("<", Operator::Less, 4),
    (">", Operator::More, 4),
    ("+", Operator::Add, 5),
    ("-", Operator::Subtract, 5),
    ("*", Operator::Multiply, 6),
    ("/", Operator::Divide, 6),
    ("%", Operator::Remainder, 6),
];
/// The other signs.
const SIGNS: [&str; 13] = ["(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "=", "!", "?"];

/// An operator of two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Less,
    More,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// A number as it was written.
    Number(String),
    Text(String),
    Name(String),
    List(Vec<Expression>),
    Object(Vec<(String, Expression)>),
    Member(Box<Expression>, String),
    Index(Box<Expression>, Box<Expression>),
    Call(Box<Expression>, Vec<Expression>),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Both(Operator, Box<Expression>, Box<Expression>),
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
    /// A name gets a value.
    Let(String, Box<Expression>),
}

/// Says why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SyntaxError {
    /// More must follow.
    #[error("SyntaxError: the line ends too early")]
    Unfinished,
    #[error("SyntaxError: {0} is not expected here")]
    Unexpected(String),
    #[error("SyntaxError: nested too deeply")]
    TooDeep,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(String),
    Text(String),
    Name(String),
    Sign(&'static str),
}

/// Reads a line: expressions that semicolons separate.
pub(super) fn read(line: &str) -> Result<Vec<Expression>, SyntaxError> {
    let mut parser = Parser { tokens: tokens(line)?, next: 0, depth: 0 };
    let mut expressions = Vec::new();
    loop {
        while parser.takes(";") {}
        if parser.peek().is_none() {
            return Ok(expressions);
        }
        expressions.push(parser.statement()?);
        if !parser.takes(";") && parser.peek().is_some() {
            return Err(parser.unexpected());
        }
    }
}

fn tokens(line: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if rest.starts_with("//") {
            return Ok(found);
        } else if first.is_ascii_digit() {
            number(rest)
        } else if first.is_alphabetic() || first == '_' || first == '$' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
            (Token::Name(rest[..end].to_owned()), &rest[end..])
        } else if first == '"' || first == '\'' {
            text(rest, first)?
        } else {
            let signs = OPERATORS.iter().map(|(sign, ..)| *sign).chain(SIGNS);
            let sign = signs.filter(|sign| rest.starts_with(sign)).max_by_key(|sign| sign.len());
            let sign = sign.ok_or_else(|| SyntaxError::Unexpected(first.to_string()))?;
            (Token::Sign(sign), &rest[sign.len()..])
        };
        found.push(token);
        rest = after.trim_start();
    }
    Ok(found)
}

fn number(text: &str) -> (Token, &str) {
    let bytes = text.as_bytes();
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    let mut end = 0;
    while let Some(byte) = bytes.get(end) {
        let after_exponent = end > 0 && matches!(bytes[end - 1], b'e' | b'E') && !is_hex;
        let continues =
            byte.is_ascii_alphanumeric() || *byte == b'.' || (after_exponent && matches!(byte, b'+' | b'-'));
        if !continues {
            break;
        }
        end += 1;
    }
    (Token::Number(text[..end].to_owned()), &text[end..])
}

fn text(from: &str, quote: char) -> Result<(Token, &str), SyntaxError> {
    let mut text = String::new();
    let mut characters = from.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                let (_, escaped) = characters.next().ok_or(SyntaxError::Unfinished)?;
                text.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'u' => {
                        let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        code.ok_or_else(|| SyntaxError::Unexpected(format!("\\u{digits}")))?
                    }
                    other => other,
                });
            }
            end if end == quote => return Ok((Token::Text(text), &from[at + end.len_utf8()..])),
            other => text.push(other),
        }
    }
    Err(SyntaxError::Unfinished)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let takes = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.next += usize::from(takes);
        takes
    }

    fn expect(&mut self, sign: &str) -> Result<(), SyntaxError> {
        if self.takes(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> SyntaxError {
        match self.peek() {
            None => SyntaxError::Unfinished,
            Some(Token::Number(text) | Token::Name(text)) => SyntaxError::Unexpected(text.clone()),
            Some(Token::Text(text)) => SyntaxError::Unexpected(format!("{text:?}")),
            Some(Token::Sign(sign)) => SyntaxError::Unexpected((*sign).to_owned()),
        }
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        let Some(Token::Name(name)) = self.peek() else { return Err(self.unexpected()) };
        let name = name.clone();
        self.next += 1;
        Ok(name)
    }

    fn statement(&mut self) -> Result<Expression, SyntaxError> {
        let declares =
            matches!(self.peek(), Some(Token::Name(word)) if ["var", "let", "const"].contains(&word.as_str()));
        self.next += usize::from(declares);
        let is_let = matches!(self.peek(), Some(Token::Name(_)))
            && matches!(self.tokens.get(self.next + 1), Some(Token::Sign("=")));
        if is_let || declares {
            let name = self.name()?;
            self.expect("=")?;
            return Ok(Expression::Let(name, Box::new(self.expression()?)));
        }
        self.expression()
    }

    fn expression(&mut self) -> Result<Expression, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SyntaxError::TooDeep);
        }
        let condition = self.operation(1)?;
        let expression = if self.takes("?") {
            let then = self.expression()?;
            self.expect(":")?;
            Expression::Choice(Box::new(condition), Box::new(then), Box::new(self.expression()?))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expression)
    }

    /// Reads what binds at least as tightly as `level`.
    fn operation(&mut self, level: u8) -> Result<Expression, SyntaxError> {
        let mut left = self.unary()?;
        while let Some(Token::Sign(sign)) = self.peek() {
            let Some((_, operator, tightness)) = OPERATORS.iter().find(|(known, ..)| known == sign) else { break };
            if *tightness < level {
                break;
            }
            self.next += 1;
            let right = self.operation(tightness + 1)?;
            left = Expression::Both(*operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, SyntaxError> {
        // Each sign is one level of the result.
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SyntaxError::TooDeep);
        }
        let read = if self.takes("!") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.takes("-") {
            Expression::Negative(Box::new(self.unary()?))
        } else {
            self.postfix()?
        };
        self.depth -= 1;
        Ok(read)
    }

    fn postfix(&mut self) -> Result<Expression, SyntaxError> {
        let mut read = self.primary()?;
        loop {
            if self.takes(".") {
                read = Expression::Member(Box::new(read), self.name()?);
            } else if self.takes("[") {
                let index = self.expression()?;
                self.expect("]")?;
                read = Expression::Index(Box::new(read), Box::new(index));
            } else if self.takes("(") {
                read = Expression::Call(Box::new(read), self.many(")", Self::expression)?);
            } else {
                return Ok(read);
            }
        }
    }

    fn primary(&mut self) -> Result<Expression, SyntaxError> {
        if self.takes("(") {
            let inner = self.expression()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.takes("[") {
            return Ok(Expression::List(self.many("]", Self::expression)?));
        }
        if self.takes("{") {
            return Ok(Expression::Object(self.many("}", Self::field)?));
        }
        let read = match self.peek() {
            Some(Token::Number(text)) => Expression::Number(text.clone()),
            Some(Token::Text(text)) => Expression::Text(text.clone()),
            Some(Token::Name(name)) => Expression::Name(name.clone()),
            Some(Token::Sign(_)) | None => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(read)
    }

    fn field(&mut self) -> Result<(String, Expression), SyntaxError> {
        let name = match self.peek() {
            Some(Token::Name(name) | Token::Text(name) | Token::Number(name)) => name.clone(),
            Some(Token::Sign(_)) | None => return Err(self.unexpected()),
        };
        self.next += 1;
        self.expect(":")?;
        Ok((name, self.expression()?))
    }

    /// Reads what commas separate, up to the closing sign; a comma may stand before it.
    fn many<T>(&mut self, end: &str, one: fn(&mut Self) -> Result<T, SyntaxError>) -> Result<Vec<T>, SyntaxError> {
        let mut read = Vec::new();
        while !self.takes(end) {
            read.push(one(self)?);
            if !self.takes(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Writes an expression with all its brackets.
    fn draw(expression: &Expression) -> String {
        let list = |all: &[Expression]| all.iter().map(draw).collect::<Vec<_>>().join(" ");
        match expression {
            Expression::Number(text) | Expression::Name(text) => text.clone(),
            Expression::Text(text) => format!("{text:?}"),
            Expression::List(all) => format!("[{}]", list(all)),
            Expression::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("{name}:{}", draw(value)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(" "))
            }
            Expression::Member(of, name) => format!("{}.{name}", draw(of)),
            Expression::Index(of, at) => format!("{}[{}]", draw(of), draw(at)),
            Expression::Call(of, with) => format!("{}({})", draw(of), list(with)),
            Expression::Not(of) => format!("!{}", draw(of)),
            Expression::Negative(of) => format!("-{}", draw(of)),
            Expression::Both(operator, left, right) => format!("({} {operator:?} {})", draw(left), draw(right)),
            Expression::Choice(condition, then, other) => {
                format!("({} ? {} : {})", draw(condition), draw(then), draw(other))
            }
            Expression::Let(name, value) => format!("{name} = {}", draw(value)),
        }
    }

    fn check(line: &str) -> Result<String, SyntaxError> {
        Ok(read(line)?.iter().map(draw).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn lines_mean_what_they_mean_in_javascript() {
        for (line, expected) in [
            ("eth.blockNumber", "eth.blockNumber"),
            ("eth.getBalance(eth.accounts[0])", "eth.getBalance(eth.accounts[0])"),
            ("eth.getBlock('latest', true).hash;", "eth.getBlock(\"latest\" true).hash"),
            ("a + 2 * -b - 1", "((a Add (2 Multiply -b)) Subtract 1)"),
            ("a == 1 && !b || c <= 3", "(((a Equal 1) And !b) Or (c AtMost 3))"),
            ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
            ("var tx = {from: a, 'to': \"0x1\", value: 1e18,}", "tx = {from:a to:\"0x1\" value:1e18}"),
            ("x = 1; y=x+1;", "x = 1; y = (x Add 1)"),
            ("[1, 0x1F, 1.5, 2e-3] // all numbers", "[1 0x1F 1.5 2e-3]"),
            ("'it\\'s' + \"\\u00e9\\n\"", "(\"it's\" Add \"é\\n\")"),
            ("1.toString", "1.toString"),
            ("", ""),
            (";;", ""),
        ] {
            assert_eq!(check(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_is_unfinished_is_told_from_what_is_wrong() {
        for line in ["eth.", "eth.getBlock(", "{a: 1", "'text", "1 +", "[1,", "a ? b", "var x =", "var"] {
            assert_eq!(read(line), Err(SyntaxError::Unfinished), "{line}");
        }
        for (line, sign) in
            [("eth blockNumber", "blockNumber"), (")", ")"), ("a = b = c", "="), ("#", "#"), ("{1}", "}")]
        {
            assert_eq!(read(line), Err(SyntaxError::Unexpected(sign.to_owned())), "{line}");
        }
        for line in ["[".repeat(1000), "-".repeat(1000) + "1", "a(".repeat(1000), "!(".repeat(500)] {
            assert_eq!(read(&line), Err(SyntaxError::TooDeep));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_lines_do_not_panic(line in "[a-z0-9.,:;()\\[\\]{}'\"\\\\!=<>&|+*/% -]{0,60}|.{0,30}") {
            let _ = read(&line);
        }
    }
}
