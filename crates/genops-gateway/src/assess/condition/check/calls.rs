//! The functions and methods that an expression may call.

use cel::common::ast::{CallExpr, IdedExpr};
use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};

use super::super::calendar::{self, Reading};
use super::super::formula::{Moment, Number, Search, Text, Truth};
use super::headers::written;
use super::source::unknown;
use super::{Checked, Checker, Meaning};

/// The largest compiled pattern, in bytes: it bounds the time that a match takes for each byte of the text.
const PATTERN_BYTES_MAX: usize = 256 << 10;

const FUNCTIONS: [&str; 3] = ["has", "size", "timestamp"];
const TEXT_METHODS: [&str; 5] = ["contains", "endsWith", "matches", "size", "startsWith"];
const MACROS: [&str; 5] = ["all", "exists", "exists_one", "filter", "map"];

impl Checker<'_> {
    pub(super) fn function(&mut self, part: &IdedExpr, call: &CallExpr) -> Checked<Meaning> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            ("has", asked) => self.has(part, asked),
            ("size", [text]) => {
                Ok(Meaning::Number(Number::Size(self.text(text, "what `size` counts the characters of")?)))
            }
            ("timestamp", [text]) => {
                let Some(moment) = written(text).and_then(calendar::moment) else {
                    let message = "`timestamp` takes a text written in place, as in \
                                   `timestamp(\"2026-12-31T00:00:00Z\")`";
                    return self.refuse(text, message);
                };
                Ok(Meaning::Moment(Moment::Literal(moment)))
            }
            ("size" | "timestamp", arguments) => self.miscounted(part, name, "1 argument", arguments.len()),
            _ => {
                let message = unknown(name, "a function", "functions are", &FUNCTIONS);
                self.refuse_name(part, name, message)
            }
        }
    }

    pub(super) fn method(&mut self, part: &IdedExpr, target: &IdedExpr, call: &CallExpr) -> Checked<Meaning> {
        let name = call.func_name.as_str();
        if MACROS.contains(&name) {
            let message = format!(
                "`{name}` is not available: the cost of a condition is bounded; use `in`, `matches`, or several \
                 tests with `||` and `&&`"
            );
            return self.refuse_name(part, name, message);
        }
        let reading = Reading::ALL.into_iter().find(|(known, _)| *known == name);
        match (self.meaning(target)?, reading) {
            (Meaning::Text(text), _) if TEXT_METHODS.contains(&name) => self.text_method(part, text, call),
            (Meaning::Moment(moment), Some((_, reading))) => {
                let zone = self.zone(part, name, &call.args)?;
                Ok(Meaning::Number(Number::Reading(reading, moment, zone)))
            }
            (target, _) => {
                let known: Vec<_> = match &target {
                    Meaning::Text(_) => TEXT_METHODS.to_vec(),
                    Meaning::Moment(_) => Reading::ALL.map(|(known, _)| known).to_vec(),
                    Meaning::Truth(_) | Meaning::Number(_) => Vec::new(),
                };
                let kind = target.kind();
                let message =
                    unknown(name, &format!("a method of {kind}"), &format!("methods of {kind} are"), &known);
                self.refuse_name(part, name, message)
            }
        }
    }

    fn text_method(&mut self, part: &IdedExpr, text: Text, call: &CallExpr) -> Checked<Meaning> {
        let name = call.func_name.as_str();
        let search = match (name, call.args.as_slice()) {
            ("size", []) => return Ok(Meaning::Number(Number::Size(text))),
            ("size", arguments) => return self.miscounted(part, name, "no argument", arguments.len()),
            ("matches", [pattern]) => {
                return Ok(Meaning::Truth(Truth::Matches(text, self.pattern(pattern)?)));
            }
            ("startsWith", [_]) => Search::AtStart,
            ("endsWith", [_]) => Search::AtEnd,
            ("contains", [_]) => Search::Anywhere,
            (_, arguments) => return self.miscounted(part, name, "1 argument", arguments.len()),
        };
        let [wanted] = call.args.as_slice() else {
            return self.miscounted(part, name, "1 argument", call.args.len());
        };
        let wanted = self.text(wanted, &format!("the argument of `{name}`"))?;
        Ok(Meaning::Truth(Truth::Finds(search, Box::new((text, wanted)))))
    }

    fn pattern(&mut self, part: &IdedExpr) -> Checked<Regex> {
        let Some(text) = written(part) else {
            return self.refuse(part, "the pattern of `matches` has to be written in place, as a string");
        };
        match RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(pattern) => Ok(pattern),
            Err(regex::Error::CompiledTooBig(_)) => {
                self.refuse(part, "the pattern is too large; repeat less in it")
            }
            Err(error) => {
                // The library draws the pattern first, over several lines.
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.refuse(part, format!("the pattern is not a regular expression: {reason}"))
            }
        }
    }

    fn zone(&mut self, part: &IdedExpr, method: &str, arguments: &[IdedExpr]) -> Checked<TimeZone> {
        match arguments {
            [] => Ok(TimeZone::UTC),
            [name] => written(name).and_then(calendar::zone).map_or_else(
                || {
                    let message = "a time zone is written in place, as in `\"Europe/Berlin\"` or `\"+01:00\"`; \
                                   this one is not known";
                    self.refuse(name, message)
                },
                Ok,
            ),
            _ => self.miscounted(part, method, "no argument or a time zone", arguments.len()),
        }
    }

    fn miscounted<T>(&mut self, part: &IdedExpr, name: &str, wanted: &str, found: usize) -> Checked<T> {
        self.refuse_name(part, name, format!("`{name}` takes {wanted}, not {found}"))
    }

    fn refuse_name<T>(&mut self, part: &IdedExpr, name: &str, message: String) -> Checked<T> {
        let place = self.source.before(part, name);
        self.refuse_at(place, message)
    }
}
