//! How an expression may look at headers: only at those that the configuration admits, by names written in place.

use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SelectExpr};

use super::super::formula::{Text, Truth};
use super::{Checked, Checker, Meaning};

/// Whether the part is the fact `headers`.
pub(super) fn is_headers(part: &IdedExpr) -> bool {
    matches!(&part.expr, Expr::Ident(name) if name == "headers")
}

/// The text of a part that is written in place.
pub(super) fn written(part: &IdedExpr) -> Option<&str> {
    match &part.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

impl Checker<'_> {
    /// `headers.plan`.
    pub(super) fn field(&mut self, part: &IdedExpr, select: &SelectExpr) -> Checked<Meaning> {
        if is_headers(&select.operand) {
            let place = self.source.behind(part);
            return Ok(Meaning::Text(Text::Header(self.admitted(place, &select.field)?)));
        }
        let kind = self.meaning(&select.operand)?.kind();
        self.refuse(part, format!("{kind} has no fields; only `headers` has"))
    }

    /// `headers["x-plan"]`.
    pub(super) fn indexed(&mut self, part: &IdedExpr, map: &IdedExpr, name: &IdedExpr) -> Checked<Meaning> {
        if is_headers(map) {
            return Ok(Meaning::Text(Text::Header(self.named(name)?)));
        }
        self.refuse(part, "only `headers` can be asked by `[…]`")
    }

    /// `"x-plan" in headers`.
    pub(super) fn present(&mut self, name: &IdedExpr) -> Checked<Truth> {
        Ok(Truth::HasHeader(self.named(name)?))
    }

    /// `has(headers.plan)`.
    pub(super) fn has(&mut self, part: &IdedExpr, asked: &[IdedExpr]) -> Checked<Meaning> {
        match asked {
            [IdedExpr { id, expr: Expr::Select(select) }] if is_headers(&select.operand) => {
                let place = self.source.behind(&IdedExpr { id: *id, expr: Expr::Unspecified });
                Ok(Meaning::Truth(Truth::HasHeader(self.admitted(place, &select.field)?)))
            }
            _ => {
                let message = "`has` asks for a field, as in `has(headers.plan)`; \
                               for other names, write `\"x-plan\" in headers`";
                let place = self.source.before(part, "has");
                self.refuse_at(place, message)
            }
        }
    }

    fn named(&mut self, name: &IdedExpr) -> Checked<Arc<str>> {
        match written(name) {
            Some(text) => {
                let place = self.source.place(name);
                self.admitted(place, text)
            }
            None => self.refuse(name, "the name of a header has to be written in place, as a string"),
        }
    }

    fn admitted(&mut self, place: usize, name: &str) -> Checked<Arc<str>> {
        self.looks_at_request = true;
        if self.headers.contains(name) {
            return Ok(name.into());
        }
        let message = if self.headers.contains(&name.to_lowercase()) {
            format!("names of headers are written in lower case here: {:?}", name.to_lowercase())
        } else if self.headers.is_empty() {
            format!("{name:?} is not a header that conditions may look at; none is")
        } else {
            let known: Vec<_> = self.headers.iter().map(|known| format!("{known:?}")).collect();
            format!("{name:?} is not a header that conditions may look at; these are: {}", known.join(", "))
        };
        self.refuse_at(place, message)
    }
}
