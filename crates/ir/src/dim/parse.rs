//! Parsing of dims: sums, products, `//` (or `/`, both rounded down), `%`, and the functions.

use super::{Dim, Function};
use std::str::{CharIndices, FromStr};

/// The error for text that is not a dim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a dim: {what}")]
pub struct ParseDimError {
    /// The whole text.
    pub text: String,
    /// What is wrong with it, and where.
    pub what: String,
}

/// The maximum nesting of parentheses and signs; the parser recurses.
const MAX_DEPTH: u32 = 50;

pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

impl FromStr for Dim {
    type Err = ParseDimError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |what: String| ParseDimError { text: text.to_owned(), what };
        let mut parser = Parser { rest: text };
        let dim = parser.sum(0).map_err(fail)?;
        if parser.peek().is_some() { Err(fail(format!("unexpected `{}`", parser.rest))) } else { Ok(dim) }
    }
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        self.peek();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn sum(&mut self, depth: u32) -> Result<Dim, String> {
        let mut sum = self.product(depth)?;
        loop {
            if self.eat("+") {
                sum = sum.plus(&self.product(depth)?);
            } else if self.eat("-") {
                sum = sum.minus(&self.product(depth)?);
            } else {
                return Ok(sum);
            }
        }
    }

    fn product(&mut self, depth: u32) -> Result<Dim, String> {
        let mut product = self.factor(depth)?;
        loop {
            if self.eat("*") {
                product = product.times(&self.factor(depth)?);
            } else if self.eat("//") || self.eat("/") {
                product = product.floor_div(&self.factor(depth)?);
            } else if self.eat("%") {
                product = product.modulo(&self.factor(depth)?);
            } else {
                return Ok(product);
            }
        }
    }

    fn factor(&mut self, depth: u32) -> Result<Dim, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        }
        match self.peek() {
            Some('(') => {
                self.eat("(");
                let inner = self.sum(depth + 1)?;
                if self.eat(")") { Ok(inner) } else { Err("unclosed parenthesis".to_owned()) }
            }
            Some('-') => {
                self.eat("-");
                if self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    return self.digits("-");
                }
                Ok(Dim::Known(0).minus(&self.factor(depth + 1)?))
            }
            Some('?') => {
                self.eat("?");
                Ok(Dim::Unknown)
            }
            Some('\'') => self.quoted(),
            Some(c) if c.is_ascii_digit() => self.digits(""),
            Some(c) if c.is_alphabetic() || c == '_' => {
                let name = self.take_while(|c| c.is_alphanumeric() || c == '_' || c == '.');
                if !self.eat("(") {
                    return Ok(Dim::symbol(name));
                }
                let function = Function::ALL.into_iter().find(|function| function.word() == name);
                self.call(name, function, depth + 1)
            }
            Some(c) => Err(format!("unexpected `{c}`")),
            None => Err("unexpected end".to_owned()),
        }
    }

    fn digits(&mut self, sign: &str) -> Result<Dim, String> {
        let digits = self.take_while(|c| c.is_ascii_digit());
        format!("{sign}{digits}").parse().map(Dim::Known).map_err(|_| format!("{sign}{digits} is too large"))
    }

    fn call(&mut self, name: &str, function: Option<Function>, depth: u32) -> Result<Dim, String> {
        let mut arguments = vec![self.sum(depth)?];
        while self.eat(",") {
            arguments.push(self.sum(depth)?);
        }
        if !self.eat(")") {
            return Err(format!("unclosed parenthesis of {name}"));
        }
        match (function, arguments.as_slice()) {
            // Division rounds down already.
            (None, [argument]) if name == "floor" => Ok(argument.clone()),
            (Some(Function::FloorDiv | Function::Mod), [left, right]) => {
                Ok(function.map_or(Dim::Unknown, |function| function.of(left, right)))
            }
            (Some(function @ (Function::Min | Function::Max | Function::Broadcast)), [first, rest @ ..]) => {
                Ok(rest.iter().fold(first.clone(), |left, right| function.of(&left, right)))
            }
            _ => Err(format!("there is no function {name} of {} arguments", arguments.len())),
        }
    }

    /// Parses a symbol in quotes, with the escapes of `char::escape_default`.
    fn quoted(&mut self) -> Result<Dim, String> {
        self.eat("'");
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Dim::symbol(name));
                }
                '\\' => name.push(unescape(&mut chars).ok_or("malformed escape")?),
                _ => name.push(c),
            }
        }
        Err("unclosed quoted name".to_owned())
    }
}

/// Parses an escape of `char::escape_default`; `chars` is after the backslash.
pub(crate) fn unescape(chars: &mut CharIndices<'_>) -> Option<char> {
    match chars.next()?.1 {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        c @ ('\\' | '\'' | '"') => Some(c),
        'u' => {
            if chars.next()?.1 != '{' {
                return None;
            }
            let mut code = 0u32;
            loop {
                match chars.next()?.1 {
                    '}' => return char::from_u32(code),
                    digit => code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?,
                }
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_text_is_reported() {
        let deep = "(".repeat(200);
        for (text, what) in [
            ("", "unexpected end"),
            ("seq +", "unexpected end"),
            ("(seq", "unclosed parenthesis"),
            ("seq )", "unexpected `)`"),
            ("99999999999999999999", "99999999999999999999 is too large"),
            ("sin(seq)", "there is no function sin of 1 arguments"),
            ("floor(seq, 2)", "there is no function floor of 2 arguments"),
            ("mod(seq)", "there is no function mod of 1 arguments"),
            ("max(seq", "unclosed parenthesis of max"),
            ("#", "unexpected `#`"),
            ("(#)", "unexpected `#`"),
            ("'\\x'", "malformed escape"),
            ("'\\u41'", "malformed escape"),
            ("'\\u{110000}'", "malformed escape"),
            ("'\\u{100000041}'", "malformed escape"),
            ("'seq", "unclosed quoted name"),
            (&deep, "nested deeper than 50"),
        ] {
            assert_eq!(text.parse::<Dim>().map_err(|error| error.what), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn names_are_quoted_unless_they_are_identifiers() {
        for (name, printed) in [
            ("_a.b1", "_a.b1"),
            ("ü", "ü"),
            ("1a", "'1a'"),
            (".a", "'.a'"),
            ("a-b", "'a-b'"),
            ("", "''"),
            ("it's", r"'it\'s'"),
            ("\\ \" \r\n\t \u{7}", r#"'\\ \" \r\n\t \u{7}'"#),
        ] {
            let dim = Dim::symbol(name);
            assert_eq!(dim.to_string(), printed);
            assert_eq!(printed.parse(), Ok(dim));
        }
    }

    #[test]
    fn the_deepest_nesting() {
        for (open, close) in [("(", ")"), ("-", ""), ("max(", ", 1)")] {
            let nested = |depth: usize| format!("{}seq{}", open.repeat(depth), close.repeat(depth)).parse::<Dim>();
            assert!(nested(50).is_ok(), "{open}");
            assert!(nested(51).is_err_and(|error| error.what == "nested deeper than 50"), "{open}");
        }
    }
}
