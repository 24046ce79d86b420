//! From a parsed expression to a typed formula, or to what is wrong with it.
//!
//! The parser is asked to leave macros as the calls that they are written as: `has` is understood here, the others are
//! refused by name. Functions and methods are in [`calls`], headers in [`headers`], places in [`source`].

mod calls;
mod headers;
mod source;

use std::collections::BTreeSet;

use cel::common::ast::operators::{
    ADD, CONDITIONAL, DIVIDE, EQUALS, GREATER, GREATER_EQUALS, IN, INDEX, LESS, LESS_EQUALS, LOGICAL_AND,
    LOGICAL_NOT, LOGICAL_OR, MODULO, MULTIPLY, NEGATE, NOT_EQUALS, SUBSTRACT,
};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::{Env, parser::Parser};

use super::Problem;
use super::facts::Fact;
use super::formula::{Arithmetic, Comparison, Moment, Number, Text, Truth};
use source::Source;

/// As many brackets or choices, and as many operations, may stand inside each other.
const DEPTH_MAX: u16 = 48;

/// As many problems are reported; what is wrong beyond them is seen once these are mended.
const PROBLEMS_MAX: usize = 8;

/// Reads `source` into a formula. Recurses deeply for a source that is long.
///
/// # Errors
///
/// What is wrong with it; never nothing.
pub(super) fn read(source: &str, headers: &BTreeSet<String>) -> Result<Read, Vec<Problem>> {
    let parser: Parser = Env::default().with_optional_support(false).parser();
    let (expression, places) = parser
        .max_recursion_depth(DEPTH_MAX)
        .parse_with_source_info(source)
        .map_err(|errors| vec![source::syntax(&errors)])?;
    let source = Source::new(source, &places);
    let mut checker = Checker { source, headers, depth: 0, looks_at_request: false, problems: Vec::new() };
    match checker.truth(&expression, "a condition") {
        Ok(truth) => Ok(Read { truth, looks_at_request: checker.looks_at_request }),
        Err(Refused(())) => Err(checker.problems),
    }
}

/// An expression that was read.
#[derive(Debug)]
pub(super) struct Read {
    /// What it means.
    pub(super) truth: Truth,
    /// Whether it asks for more than the proposal and the time.
    pub(super) looks_at_request: bool,
}

struct Checker<'a> {
    source: Source<'a>,
    headers: &'a BTreeSet<String>,
    depth: u16,
    looks_at_request: bool,
    problems: Vec<Problem>,
}

/// A part has no meaning, and a problem says why. Made by [`Checker::refuse`] alone.
struct Refused(());

type Checked<T> = Result<T, Refused>;

/// A part that has a meaning, by its type.
enum Meaning {
    Truth(Truth),
    Number(Number),
    Text(Text),
    Moment(Moment),
}

impl Meaning {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Truth(_) => "bool",
            Self::Number(_) => "int",
            Self::Text(_) => "string",
            Self::Moment(_) => "timestamp",
        }
    }
}

impl Checker<'_> {
    fn meaning(&mut self, part: &IdedExpr) -> Checked<Meaning> {
        if self.depth == DEPTH_MAX {
            let message =
                format!("more than {DEPTH_MAX} operations stand inside each other; use several rules");
            return self.refuse(part, message);
        }
        self.depth += 1;
        let meaning = match &part.expr {
            Expr::Literal(value) => self.literal(part, value),
            Expr::Ident(name) => self.fact(part, name),
            Expr::Select(select) => self.field(part, select),
            Expr::Call(call) => self.operation(part, call),
            Expr::List(_) => self.refuse(part, "a list can stand only behind `in`"),
            Expr::Map(_) | Expr::Struct(_) => self.refuse(part, "maps and messages cannot be made here"),
            Expr::Comprehension(_) | Expr::Unspecified => self.refuse(part, "this cannot be read"),
        };
        self.depth -= 1;
        meaning
    }

    fn literal(&mut self, part: &IdedExpr, value: &LiteralValue) -> Checked<Meaning> {
        let kind = match value {
            LiteralValue::Boolean(value) => return Ok(Meaning::Truth(Truth::Literal(*value.inner()))),
            LiteralValue::Int(value) => return Ok(Meaning::Number(Number::Literal(*value.inner()))),
            LiteralValue::String(value) => return Ok(Meaning::Text(Text::Literal(value.inner().to_owned()))),
            LiteralValue::Double(_) => "a double",
            LiteralValue::UInt(_) => "a uint",
            LiteralValue::Bytes(_) => "bytes",
            LiteralValue::Null => "null",
        };
        self.refuse(part, format!("no fact is {kind}; there are bool, int, string and timestamp"))
    }

    fn fact(&mut self, part: &IdedExpr, name: &str) -> Checked<Meaning> {
        Ok(match Fact::all().find(|(known, _)| *known == name) {
            Some((_, Fact::Text(fact))) => Meaning::Text(Text::Fact(fact)),
            Some((_, Fact::Tokens(fact))) => Meaning::Number(Number::Fact(fact)),
            Some((_, Fact::Streamed)) => {
                self.looks_at_request = true;
                Meaning::Truth(Truth::Streamed)
            }
            Some((_, Fact::Time)) => Meaning::Moment(Moment::Now),
            Some((_, Fact::Headers)) => {
                let message = "`headers` is a map: write `headers[\"name\"]`, or `\"name\" in headers`";
                return self.refuse(part, message);
            }
            None => {
                let known: Vec<_> = Fact::all().map(|(known, _)| known).collect();
                return self.refuse(part, source::unknown(name, "a fact", "facts are", &known));
            }
        })
    }

    fn operation(&mut self, part: &IdedExpr, call: &CallExpr) -> Checked<Meaning> {
        if let Some(target) = &call.target {
            return self.method(part, target, call);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (LOGICAL_NOT, [inner]) => {
                let inner = self.truth(inner, "what stands behind `!`")?;
                Ok(Meaning::Truth(Truth::Not(Box::new(inner))))
            }
            (NEGATE, [inner]) => {
                let inner = self.number(inner, "what stands behind `-`")?;
                Ok(Meaning::Number(Number::Negative(Box::new(inner))))
            }
            (LOGICAL_AND, [left, right]) => {
                Ok(Meaning::Truth(Truth::And(Box::new(self.truths("&&", left, right)?))))
            }
            (LOGICAL_OR, [left, right]) => {
                Ok(Meaning::Truth(Truth::Or(Box::new(self.truths("||", left, right)?))))
            }
            (CONDITIONAL, [when, then, otherwise]) => self.choice(part, when, then, otherwise),
            (INDEX, [map, name]) => self.indexed(part, map, name),
            (IN, [wanted, list]) => Ok(Meaning::Truth(self.contained(part, wanted, list)?)),
            (operator, [left, right]) => {
                if let Some(how) = comparison(operator) {
                    Ok(Meaning::Truth(self.compared(part, how, left, right)?))
                } else if let Some(how) = arithmetic(operator) {
                    Ok(Meaning::Number(self.computed(how, left, right)?))
                } else {
                    self.function(part, call)
                }
            }
            _ => self.function(part, call),
        }
    }

    fn truths(&mut self, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Checked<(Truth, Truth)> {
        let role = format!("what stands beside `{operator}`");
        let (left, right) = (self.truth(left, &role), self.truth(right, &role));
        Ok((left?, right?))
    }

    fn choice(
        &mut self,
        part: &IdedExpr,
        when: &IdedExpr,
        then: &IdedExpr,
        otherwise: &IdedExpr,
    ) -> Checked<Meaning> {
        let when = self.truth(when, "what stands before `?`");
        let (then, otherwise) = (self.meaning(then), self.meaning(otherwise));
        Ok(match (then?, otherwise?) {
            (Meaning::Truth(then), Meaning::Truth(otherwise)) => {
                Meaning::Truth(Truth::Choice(Box::new((when?, then, otherwise))))
            }
            (Meaning::Number(then), Meaning::Number(otherwise)) => {
                Meaning::Number(Number::Choice(Box::new((when?, then, otherwise))))
            }
            (Meaning::Text(then), Meaning::Text(otherwise)) => {
                Meaning::Text(Text::Choice(Box::new((when?, then, otherwise))))
            }
            (Meaning::Moment(then), Meaning::Moment(otherwise)) => {
                Meaning::Moment(Moment::Choice(Box::new((when?, then, otherwise))))
            }
            (then, otherwise) => {
                let (then, otherwise) = (then.kind(), otherwise.kind());
                let message =
                    format!("both sides of `:` need the same type; these are {then} and {otherwise}");
                return self.refuse(part, message);
            }
        })
    }

    fn compared(
        &mut self,
        part: &IdedExpr,
        how: Comparison,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Checked<Truth> {
        let (left, right) = (self.meaning(left), self.meaning(right));
        match (left?, right?) {
            (Meaning::Truth(_), Meaning::Truth(_))
                if !matches!(how, Comparison::Equal | Comparison::NotEqual) =>
            {
                self.refuse(part, "bool has no order; it is compared by `==` and `!=`")
            }
            (Meaning::Truth(left), Meaning::Truth(right)) => Ok(Truth::Truths(how, Box::new((left, right)))),
            (Meaning::Number(left), Meaning::Number(right)) => {
                Ok(Truth::Numbers(how, Box::new((left, right))))
            }
            (Meaning::Text(left), Meaning::Text(right)) => Ok(Truth::Texts(how, Box::new((left, right)))),
            (Meaning::Moment(left), Meaning::Moment(right)) => {
                Ok(Truth::Moments(how, Box::new((left, right))))
            }
            (left, right) => {
                let message = format!("{} cannot be compared with {}", left.kind(), right.kind());
                self.refuse(part, message)
            }
        }
    }

    fn computed(&mut self, how: Arithmetic, left: &IdedExpr, right: &IdedExpr) -> Checked<Number> {
        let role = "a side of an arithmetic operator";
        let (left, right) = (self.number(left, role), self.number(right, role));
        Ok(Number::Arithmetic(how, Box::new((left?, right?))))
    }

    fn contained(&mut self, part: &IdedExpr, wanted: &IdedExpr, list: &IdedExpr) -> Checked<Truth> {
        if headers::is_headers(list) {
            return self.present(wanted);
        }
        let Expr::List(list) = &list.expr else {
            return self.refuse(list, "behind `in`, there has to be a list `[…]` or `headers`");
        };
        let wanted = self.meaning(wanted)?;
        match wanted {
            Meaning::Number(wanted) => {
                let role = "what is in this list";
                let list: Vec<_> = list.elements.iter().map(|element| self.number(element, role)).collect();
                Ok(Truth::NumberIn(wanted, list.into_iter().collect::<Checked<_>>()?))
            }
            Meaning::Text(wanted) => {
                let role = "what is in this list";
                let list: Vec<_> = list.elements.iter().map(|element| self.text(element, role)).collect();
                Ok(Truth::TextIn(wanted, list.into_iter().collect::<Checked<_>>()?))
            }
            other => {
                let message = format!("`in` looks for a string or an int, not a {}", other.kind());
                self.refuse(part, message)
            }
        }
    }

    fn truth(&mut self, part: &IdedExpr, role: &str) -> Checked<Truth> {
        match self.meaning(part)? {
            Meaning::Truth(truth) => Ok(truth),
            other => self.mistyped(part, role, "bool", &other),
        }
    }

    fn number(&mut self, part: &IdedExpr, role: &str) -> Checked<Number> {
        match self.meaning(part)? {
            Meaning::Number(number) => Ok(number),
            other => self.mistyped(part, role, "int", &other),
        }
    }

    fn text(&mut self, part: &IdedExpr, role: &str) -> Checked<Text> {
        match self.meaning(part)? {
            Meaning::Text(text) => Ok(text),
            other => self.mistyped(part, role, "string", &other),
        }
    }

    fn mistyped<T>(&mut self, part: &IdedExpr, role: &str, wanted: &str, found: &Meaning) -> Checked<T> {
        self.refuse(part, format!("{role} has to be {wanted}; this is {}", found.kind()))
    }

    /// Reports that a part has no meaning, at the place of the part.
    fn refuse<T>(&mut self, part: &IdedExpr, message: impl Into<String>) -> Checked<T> {
        let place = self.source.place(part);
        self.refuse_at(place, message)
    }

    fn refuse_at<T>(&mut self, place: usize, message: impl Into<String>) -> Checked<T> {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(self.source.problem(place, message.into()));
        }
        Err(Refused(()))
    }
}

fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        EQUALS => Comparison::Equal,
        NOT_EQUALS => Comparison::NotEqual,
        LESS => Comparison::Less,
        LESS_EQUALS => Comparison::LessOrEqual,
        GREATER => Comparison::Greater,
        GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(operator: &str) -> Option<Arithmetic> {
    Some(match operator {
        ADD => Arithmetic::Add,
        SUBSTRACT => Arithmetic::Subtract,
        MULTIPLY => Arithmetic::Multiply,
        DIVIDE => Arithmetic::Divide,
        MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}
