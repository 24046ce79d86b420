//! The columns of a usage export, and the names that they have at providers and proxies.
//!
//! Names are compared without regard to case, and to `_`, `-`, `.` and blanks.

use super::BadRow;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The AWU: `trace_id-span_id`, or a W3C `traceparent`.
    Awu,
    /// The trace of the AWU or of its model call.
    TraceId,
    /// The span of the AWU or of its model call.
    SpanId,
    /// What a proxy calls a request; it counts where it is one of the above.
    RequestId,
    /// The model.
    Model,
    /// Tokens that the model read.
    Input,
    /// Tokens that the model wrote.
    Output,
    /// Of those that it read, out of the provider's cache.
    Cached,
    /// US dollars.
    Cost,
    /// When.
    At,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 10] = [
        Self::Awu,
        Self::TraceId,
        Self::SpanId,
        Self::RequestId,
        Self::Model,
        Self::Input,
        Self::Output,
        Self::Cached,
        Self::Cost,
        Self::At,
    ];

    /// What has to be there.
    const NEEDED: [Self; 4] = [Self::Model, Self::Input, Self::Output, Self::Cost];

    /// Its names; the first is the one that messages use, and the earlier one counts where a file has several.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Awu => &["awu", "awu_id", "x-genops-awu", "traceparent"],
            Self::TraceId => &["trace_id"],
            Self::SpanId => &["span_id"],
            Self::RequestId => &["request_id", "x-request-id", "call_id", "id"],
            Self::Model => &["model", "model_name", "gen_ai.request.model"],
            Self::Input => {
                &["input_tokens", "prompt_tokens", "n_context_tokens_total", "gen_ai.usage.input_tokens"]
            }
            Self::Output => &[
                "output_tokens",
                "completion_tokens",
                "n_generated_tokens_total",
                "gen_ai.usage.output_tokens",
            ],
            Self::Cached => &[
                "cached_input_tokens",
                "input_cached_tokens",
                "cached_tokens",
                "cache_read_input_tokens",
                "n_cached_context_tokens_total",
            ],
            Self::Cost => &["cost", "cost_usd", "total_cost", "spend", "amount_usd", "amount"],
            Self::At => {
                &["timestamp", "start_time", "time", "created_at", "created", "start_time_iso", "date"]
            }
        }
    }

    /// What it is called in messages.
    pub fn as_str(self) -> &'static str {
        self.names().first().copied().unwrap_or_default()
    }

    /// The column of a name, and how late the name is among its names.
    pub fn named(name: &str) -> Option<(Self, usize)> {
        let name = plain(name);
        Self::ALL.into_iter().find_map(|column| {
            let rank = column.names().iter().position(|known| plain(known) == name)?;
            Some((column, rank))
        })
    }

    /// Its place among all of them.
    const fn place(self) -> usize {
        self as usize
    }
}

fn plain(name: &str) -> String {
    let letters = name.trim().trim_start_matches('\u{feff}').chars();
    letters.filter(|letter| !matches!(letter, '_' | '-' | '.' | ' ')).collect::<String>().to_lowercase()
}

/// Something for every column that is there.
#[derive(Debug, Default)]
pub struct Cells<T>([Option<(usize, T)>; Column::ALL.len()]);

impl<T> Cells<T> {
    /// Puts something into a column, unless an earlier name of it has something.
    pub fn put(&mut self, (column, rank): (Column, usize), cell: T) {
        let Some(place) = self.0.get_mut(column.place()) else { return };
        if place.as_ref().is_none_or(|(known, _)| rank < *known) {
            *place = Some((rank, cell));
        }
    }

    /// What is in a column.
    pub fn get(&self, column: Column) -> Option<&T> {
        self.0.get(column.place())?.as_ref().map(|(_, cell)| cell)
    }

    /// The columns that have to be there and are not.
    pub fn lacking(&self) -> Vec<&'static str> {
        let lacking = Column::NEEDED.into_iter().filter(|column| self.get(*column).is_none());
        lacking.map(Column::as_str).collect()
    }
}

impl<T: AsRef<str>> Cells<T> {
    /// What stands in a column, if anything does.
    pub fn text(&self, column: Column) -> Option<&str> {
        let text = self.get(column)?.as_ref().trim();
        (!text.is_empty()).then_some(text)
    }

    /// What stands in a column that may not be empty.
    pub fn needed(&self, column: Column) -> Result<&str, BadRow> {
        self.text(column).ok_or_else(|| BadRow::Missing(column.as_str()))
    }
}
