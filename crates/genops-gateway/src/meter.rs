//! Reads a stream of server-sent events beside its way to the caller: what the provider reports of usage,
//! and how far it came.
//!
//! Bytes are passed on as they came. One event alone may be left out: the usage report, for a caller who did not
//! ask for it. For that, an event is held back until its end is there, up to a limit. Nothing here
//! waits, sends or settles; memory is bounded whatever the stream holds.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use genops_core::Name;
use genops_core::price::Tokens;
use memchr::memchr2;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::{Encoding, present};
use crate::usage;

/// The data of an event is read up to this size; a larger one is passed on unread.
const DATA_BYTES_MAX: usize = 1 << 20;

/// An event is held back up to this size. A usage report is smaller.
const HELD_BYTES_MAX: usize = 64 << 10;

/// Reads one stream.
#[derive(Debug)]
pub struct Meter {
    /// Whether the caller asked for the usage report; otherwise it is left out.
    usage_asked: bool,
    /// How many choices the caller asked for. Some servers report each by itself.
    choices: u64,
    /// Whether the text is counted, for a provider that may report nothing.
    counts: bool,
    /// How tokens are counted, where the stream ends at so many.
    encoding: Option<Encoding>,
    /// The `id` and `created` of the first event, as they were written, for one of our own.
    head: Option<(String, String)>,
    /// The choices that have said why they ended, where the stream ends at so many tokens.
    finished: BTreeSet<u64>,
    line: Line,
    /// The `data` of the event that is being read.
    data: Vec<u8>,
    data_is_whole: bool,
    /// How long that event is by now.
    event_bytes: u64,
    /// The bytes of the event that is being read, which have not been passed on.
    held: BytesMut,
    /// The event that is being read is passed on as it comes.
    released: bool,
    /// What became of an event whose last line end may go on in the next chunk.
    between: Between,
    /// The output of the choices that have been reported by themselves.
    closed_output: u64,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Between {
    #[default]
    Nothing,
    PassedOn,
    LeftOut,
}

/// What a stream has told so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// The last usage report.
    pub usage: Option<Tokens>,
    /// Whether that report stood at the end of the answer, so that nothing can follow.
    pub usage_is_final: bool,
    /// The model, by the first event that named one.
    pub model: Option<Name>,
    /// Whether a choice has said why it ended.
    pub has_finished: bool,
    /// Whether something of the answer itself has come: a first word, or the call of a tool.
    pub has_begun: bool,
    /// Whether the stream said that it is at its end (`[DONE]`).
    pub done: bool,
    /// Whether the provider reported an error within the stream.
    pub error: bool,
    /// Bytes of text that the model wrote, where they are counted: no fewer than its visible tokens.
    pub written_bytes: u64,
    /// Visible tokens that the model wrote, where they are counted, event by event: no fewer than they are.
    pub written_tokens: u64,
}

/// The line that is being read.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// It is longer than what is kept of it.
    is_cut: bool,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
}

impl Meter {
    /// Begins a stream.
    #[must_use]
    pub fn new(usage_asked: bool, choices: u64, counts: bool, encoding: Option<Encoding>) -> Self {
        Self {
            usage_asked,
            choices,
            counts,
            encoding,
            head: None,
            finished: BTreeSet::new(),
            line: Line::default(),
            data: Vec::new(),
            data_is_whole: true,
            event_bytes: 0,
            held: BytesMut::new(),
            released: false,
            between: Between::Nothing,
            closed_output: 0,
            seen: Seen::default(),
        }
    }

    /// What the stream has told so far.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes what has come, and gives what may be passed on of it and of what was held back.
    #[must_use]
    pub fn take(&mut self, chunk: &Bytes) -> Bytes {
        let mut out = Out { chunk, ready: BytesMut::new(), from: 0 };
        // Where the event that is being read begins in this chunk.
        let mut begin = 0;
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let between = std::mem::take(&mut self.between);
            if std::mem::take(&mut self.line.after_return) && rest.first() == Some(&b'\n') {
                at += 1;
                // The second half of a line end that was split between two chunks. It goes the way of the event
                // that it ended; otherwise it belongs to the event that is being read.
                if between != Between::Nothing {
                    begin = at;
                }
                if between == Between::LeftOut {
                    out.leave_out(0, at);
                }
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.line.add(rest);
                self.event_bytes = self.event_bytes.saturating_add(rest.len() as u64);
                break;
            };
            self.line.add(rest.get(..end).unwrap_or_default());
            self.event_bytes = self.event_bytes.saturating_add(end as u64);
            self.line.after_return = rest.get(end) == Some(&b'\r');
            at += end + 1;
            if self.end_of_line() {
                if self.line.after_return && chunk.get(at) == Some(&b'\n') {
                    self.line.after_return = false;
                    at += 1;
                }
                let left_out = self.end_of_event(&mut out, begin, at);
                if self.line.after_return && at == chunk.len() {
                    self.between = if left_out { Between::LeftOut } else { Between::PassedOn };
                }
                begin = at;
            }
        }
        self.end_of_chunk(out, begin)
    }

    /// Whether a stream may be ended here: nothing of an event has been passed on without the rest of it, and some
    /// choice has not ended by itself.
    #[must_use]
    pub fn may_end_here(&self) -> bool {
        !self.released && !self.seen.done && (self.finished.len() as u64) < self.choices
    }

    /// The end of a stream that is ended here, in the protocol's own way: each choice that is open has reached its
    /// length.
    #[must_use]
    pub fn ended_here(&self) -> Bytes {
        let model = self.seen.model.as_ref().map_or("", Name::as_str);
        let (id, created) = self.head.as_ref().map_or(("\"\"", "0"), |(id, created)| (id, created));
        let model = serde_json::Value::from(model);
        let mut end = String::new();
        for index in (0..self.choices).filter(|index| !self.finished.contains(index)) {
            let choice = format!("{{\"index\":{index},\"delta\":{{}},\"finish_reason\":\"length\"}}");
            end.push_str(&format!(
                "data: {{\"id\":{id},\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\
                 \"choices\":[{choice}]}}\n\n"
            ));
        }
        end.push_str("data: [DONE]\n\n");
        end.into()
    }

    /// What was held back of an event that the stream did not end.
    #[must_use]
    pub fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// What the stream has told, once the provider has ended it: then the last report is final, also the one
    /// before an error.
    #[must_use]
    pub fn seen_whole(&self) -> Seen {
        let Seen { error, done, usage_is_final, .. } = self.seen;
        Seen { usage_is_final: usage_is_final || error || done, ..self.seen.clone() }
    }

    /// Takes a whole line in. Says whether it ended an event.
    fn end_of_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line.bytes);
        let is_cut = std::mem::take(&mut self.line.is_cut);
        let is_empty = line.is_empty() && !is_cut;
        if let Some(data) = field(&line, b"data") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data_is_whole &= !is_cut && self.data.len() + data.len() <= DATA_BYTES_MAX;
            if self.data_is_whole {
                self.data.extend_from_slice(data);
            }
        }
        // The line's memory is used again, but for that of a very long one.
        if line.capacity() <= HELD_BYTES_MAX {
            self.line.bytes = line;
            self.line.bytes.clear();
        }
        is_empty
    }

    /// Passes the event on, or leaves it out. Says whether it was left out.
    fn end_of_event(&mut self, out: &mut Out<'_>, begin: usize, end: usize) -> bool {
        let data = std::mem::take(&mut self.data);
        let was_whole = std::mem::replace(&mut self.data_is_whole, true);
        let bytes = std::mem::take(&mut self.event_bytes);
        if !was_whole {
            // What cannot be read is taken for text from end to end.
            self.seen.written_bytes = self.seen.written_bytes.saturating_add(bytes);
        }
        let is_report = was_whole && self.read(&data);
        if data.capacity() <= HELD_BYTES_MAX {
            self.data = data;
            self.data.clear();
        }
        let was_released = std::mem::take(&mut self.released);
        if is_report && !self.usage_asked && !was_released {
            out.leave_out(begin, end);
            self.held.clear();
            return true;
        }
        if !self.held.is_empty() {
            // It began in an earlier chunk, so at the beginning of this one.
            out.put_before(&self.held.split());
        }
        false
    }

    fn end_of_chunk(&mut self, mut out: Out<'_>, begin: usize) -> Bytes {
        let open = out.chunk.get(begin..).unwrap_or_default();
        // Where the stream may be ended here, no event is passed on before it is whole.
        let holds = (!self.usage_asked || self.encoding.is_some()) && !self.released;
        if !holds || open.is_empty() {
            return out.all();
        }
        self.held.extend_from_slice(open);
        out.leave_out(begin, out.chunk.len());
        if self.held.len() > HELD_BYTES_MAX {
            self.released = true;
            out.ready.extend_from_slice(&self.held.split());
        }
        out.all()
    }

    /// Reads an event's data. Says whether it is a usage report and nothing else.
    fn read(&mut self, data: &[u8]) -> bool {
        if data == b"[DONE]" {
            self.seen.done = true;
            return false;
        }
        self.seen.has_begun = self.seen.has_begun || begins(data);
        let tells = |what: &str| memmem::find(data, what.as_bytes()).is_some();
        let finishes = tells("\"finish_reason\":\"") || tells("\"finish_reason\": \"");
        let is_told = finishes || tells("\"usage\"") || tells("\"error\"");
        if self.seen.model.is_some() && !self.counts && self.encoding.is_none() && !is_told {
            return false;
        }
        let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else { return false };
        self.seen.error |= present(event.error).is_some();
        if self.seen.model.is_none() {
            let model = event.model.and_then(|raw| serde_json::from_str::<Cow<'_, str>>(raw.get()).ok());
            self.seen.model = model.filter(|model| !model.is_empty()).map(|model| Name::nearest(&model));
        }
        if self.encoding.is_some() && self.head.is_none() {
            let raw =
                |raw: Option<&RawValue>, otherwise: &str| raw.map_or(otherwise, RawValue::get).to_owned();
            self.head = Some((raw(event.id, "\"\""), raw(event.created, "0")));
        }
        // What has another form is no list without choices.
        let choices = event.choices.map(|raw| serde_json::from_str::<Vec<Choice<'_>>>(raw.get()));
        let choices = choices.and_then(Result::ok);
        let is_empty = choices.as_ref().is_some_and(Vec::is_empty);
        let choices = choices.unwrap_or_default();
        if self.counts {
            self.seen.written_bytes += choices.iter().map(Choice::written_bytes).sum::<u64>();
        }
        if let Some(encoding) = self.encoding {
            self.finished
                .extend(choices.iter().filter(|choice| choice.has_finished()).map(|choice| choice.index));
            self.seen.written_tokens +=
                choices.iter().map(|choice| choice.written_tokens(encoding)).sum::<u64>();
        }
        let has_finished = choices.iter().any(Choice::has_finished);
        self.seen.has_finished |= has_finished;
        let report = present(event.usage);
        let told = report.or_else(|| {
            let extension = serde_json::from_str::<Extension<'_>>(present(event.x_groq)?.get());
            present(extension.ok()?.usage)
        });
        if let Some(tokens) = told.and_then(usage::read) {
            self.report(tokens, is_empty, has_finished);
        }
        is_empty && report.is_some() && event.error.is_none()
    }

    /// Takes a usage report in. The last one counts: reports are cumulative. The exception are those that
    /// close a choice each, where several were asked for.
    fn report(&mut self, mut tokens: Tokens, is_apart: bool, has_finished: bool) {
        // All zero is what some write before they know.
        if tokens == Tokens::default() {
            return;
        }
        if is_apart && self.choices > 1 {
            self.closed_output = self.closed_output.saturating_add(tokens.output);
            tokens.output = self.closed_output;
        }
        self.seen.usage = Some(tokens);
        // Where several choices were asked for, another may follow.
        self.seen.usage_is_final = self.choices == 1 && (is_apart || has_finished);
    }
}

/// What leaves for the caller.
struct Out<'a> {
    chunk: &'a Bytes,
    /// Ready before what stands in the chunk from `from` on.
    ready: BytesMut,
    from: usize,
}

impl Out<'_> {
    /// What stands in the chunk from `begin` to `end` is not passed on.
    fn leave_out(&mut self, begin: usize, end: usize) {
        self.ready.extend_from_slice(self.chunk.get(self.from..begin).unwrap_or_default());
        self.from = end;
    }

    /// These bytes come before everything in the chunk.
    fn put_before(&mut self, bytes: &[u8]) {
        self.ready.extend_from_slice(bytes);
    }

    fn all(mut self) -> Bytes {
        if self.ready.is_empty() {
            return self.chunk.slice(self.from.min(self.chunk.len())..);
        }
        self.ready.extend_from_slice(self.chunk.get(self.from..).unwrap_or_default());
        self.ready.freeze()
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        let room = DATA_BYTES_MAX.saturating_sub(self.bytes.len());
        self.is_cut |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

/// Whether an event's data holds something of the answer: a text that is not empty, or the call of a tool. A role alone
/// is none of it.
fn begins(data: &[u8]) -> bool {
    const TEXTS: [&str; 4] = ["\"content\":", "\"reasoning_content\":", "\"reasoning\":", "\"refusal\":"];
    let has_text = |key: &str| {
        let after = memmem::find(data, key.as_bytes()).and_then(|at| data.get(at + key.len()..));
        let value = after.map(<[u8]>::trim_ascii_start).unwrap_or_default();
        value.starts_with(b"\"") && !value.starts_with(b"\"\"")
    };
    let calls = |key: &str| memmem::find(data, key.as_bytes()).is_some();
    TEXTS.iter().any(|key| has_text(key)) || calls("\"arguments\"")
}

/// The value of a line, if it is of this field. One space after the colon is not part of it.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // A byte order mark may stand at the beginning of the stream.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// What matters of an event, each field by itself: one of an unknown form spoils no other.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    x_groq: Option<&'a RawValue>,
}

/// Where one provider reports the usage of those who did not ask for it.
#[derive(Deserialize)]
struct Extension<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
}

/// The call of a tool, as far as this event has it.
#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<Cow<'a, str>>,
}

impl Function<'_> {
    /// What a call begins with, which stands in no text.
    const AROUND: u64 = 8;

    fn tokens(&self, encoding: Encoding) -> u64 {
        let name = self.name.as_ref().map_or(0, |name| encoding.count(name).saturating_add(Self::AROUND));
        self.arguments.as_ref().map_or(name, |arguments| name.saturating_add(encoding.count(arguments)))
    }
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// The length of what is written in this event. Escapes make it longer, nothing makes it shorter.
    fn written_bytes(&self) -> u64 {
        self.written().map(|raw| raw.get().len().saturating_sub(2)).sum::<usize>() as u64
    }

    /// Whether it has said why it ended. Some servers say `""` as long as it has not.
    fn has_finished(&self) -> bool {
        present(self.finish_reason).is_some_and(|reason| reason.get() != "\"\"")
    }

    /// The tokens of what is written in this event: of texts, and of the names and arguments of tools that are called.
    fn written_tokens(&self, encoding: Encoding) -> u64 {
        let Some(delta) = &self.delta else { return 0 };
        let text = |raw: &RawValue| serde_json::from_str::<Cow<'_, str>>(raw.get()).ok();
        // Some servers write the same thought under both names.
        let reasoning = delta.reasoning_content.or(delta.reasoning);
        let texts = [delta.content, reasoning, delta.refusal].into_iter().flatten().filter_map(text);
        let texts: u64 = texts.map(|text| encoding.count(&text)).sum();
        let tools = present(delta.tool_calls).map(|raw| serde_json::from_str::<Vec<ToolCall<'_>>>(raw.get()));
        let tools = tools.and_then(Result::ok).unwrap_or_default();
        let function = present(delta.function_call).and_then(|raw| serde_json::from_str(raw.get()).ok());
        let called = tools.into_iter().filter_map(|tool| tool.function).chain(function);
        called.fold(texts, |sum, function: Function<'_>| sum.saturating_add(function.tokens(encoding)))
    }

    fn written(&self) -> impl Iterator<Item = &RawValue> {
        let parts = self.delta.iter().flat_map(|delta| {
            let Delta { content, reasoning_content, reasoning, refusal, tool_calls, function_call } = delta;
            [content, reasoning_content, reasoning, refusal, tool_calls, function_call]
        });
        parts.filter_map(|raw| present(*raw))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPORT: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":20,\"total_tokens\":32}}\n\n";
    const TEXT: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"\u{e4}\u{1f600}\"}}],\"usage\":null}\n\n";
    const DONE: &str = "data: [DONE]\n\n";
    const USED: Tokens = Tokens::new(12, 20);

    /// What is passed on of a stream that comes in these chunks, and what was seen.
    fn passed<'a>(usage_asked: bool, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Seen) {
        let mut meter = Meter::new(usage_asked, 1, true, None);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&meter.take(&Bytes::copy_from_slice(chunk)));
        }
        out.extend_from_slice(&meter.rest());
        (out, meter.seen().clone())
    }

    #[test]
    fn usage_is_read_however_the_events_are_written() {
        let streams = [
            format!("{TEXT}{REPORT}{DONE}"),
            format!("{TEXT}{REPORT}{DONE}").replace('\n', "\r\n"),
            format!("{TEXT}{REPORT}{DONE}").replace('\n', "\r"),
            format!("{TEXT}{REPORT}{DONE}").replace("data: ", "data:"),
            format!("\u{feff}: a comment\n\nevent: x\nid: 7\n{TEXT}:\n{REPORT}{DONE}"),
            format!("{TEXT}{REPORT}{DONE}").replace(",\"usage\"", ",\ndata: \"usage\""),
            format!("data: not json\n\ndata: {{}}\n\nno field\n\n\n\n{TEXT}{REPORT}{DONE}"),
        ];
        for stream in streams {
            let (out, seen) = passed(true, [stream.as_bytes()]);
            assert_eq!(out, stream.as_bytes());
            assert_eq!((seen.usage, seen.usage_is_final, seen.done), (Some(USED), true, true), "{stream:?}");
            assert_eq!((seen.written_bytes, seen.error), (6, false), "{stream:?}");
            assert_eq!(seen.model.as_ref().map(Name::as_str), Some("m"));
        }
    }

    #[test]
    fn reports_that_say_nothing_yet_are_no_reports() {
        let cases = [
            ("data: {\"choices\":[],\"usage\":null}\n\n", None, false),
            (
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n",
                None,
                false,
            ),
            (
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":2}}\n\n",
                None,
                false,
            ),
            // Cumulative, beside the text: known, but not final until the choice has ended.
            (
                "data: {\"choices\":[{\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":20}}\n\n",
                Some(USED),
                false,
            ),
            (
                "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":20}}\n\n",
                Some(USED),
                true,
            ),
            (
                "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":20}}}\n\n",
                Some(USED),
                true,
            ),
        ];
        for (stream, usage, is_final) in cases {
            let (_, seen) = passed(true, [stream.as_bytes()]);
            assert_eq!((seen.usage, seen.usage_is_final), (usage, is_final), "{stream}");
        }
        let (_, seen) = passed(true, ["data: {\"error\":{\"message\":\"x\"}}\n\n".as_bytes()]);
        assert!(seen.error);
    }

    #[test]
    fn memory_is_bounded_by_no_line_and_no_event() {
        let mut meter = Meter::new(false, 1, true, None);
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        let mut passed = meter.take(&Bytes::from_static(b"data: ")).len();
        for _ in 0..20 {
            passed += meter.take(&chunk).len();
            let kept = meter.line.bytes.capacity() + meter.data.capacity() + meter.held.capacity();
            assert!(kept <= 4 * DATA_BYTES_MAX, "{kept}");
        }
        passed += meter.take(&Bytes::from_static(b"\n\n")).len();
        assert_eq!(passed, (20 << 20) + 8, "a giant event is passed on as it comes");
        let kept = meter.line.bytes.capacity() + meter.data.capacity();
        assert!(kept <= 2 * HELD_BYTES_MAX, "and its memory is given back: {kept}");
        let mut rest = meter.take(&Bytes::from(REPORT)).to_vec();
        rest.extend_from_slice(&meter.take(&Bytes::from(DONE)));
        assert_eq!((rest, meter.seen().usage), (DONE.as_bytes().to_vec(), Some(USED)), "and it reads on");
    }

    fn stream() -> impl Strategy<Value = Vec<&'static str>> {
        let event = prop_oneof![
            3 => Just(TEXT),
            1 => Just(REPORT),
            1 => Just(": a comment\n\n"),
            1 => Just("data: {\"choices\":[],\"usage\":null}\n\n"),
            1 => Just("data: \u{1f600} not json\n\n"),
            1 => Just("\n\n"),
        ];
        prop::collection::vec(event, 0..12)
    }

    /// The stream in chunks that end at these places.
    fn cut<'a>(stream: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
        let mut places: Vec<_> = places.iter().map(|place| place % (stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        places.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
    }

    #[test]
    fn a_stream_that_is_ended_here_is_whole_events_and_ends_the_choices_that_are_open() {
        let event = |index: u64, text: &str, finish: &str| {
            format!(
                "data: {{\"id\":\"c-1\",\"created\":7,\"model\":\"m\",\"choices\":[{{\"index\":{index},\
                 \"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        // Also for a caller who asked for the report, and where some servers write `""` until they know better.
        for (usage_asked, unfinished) in [(true, "null"), (false, "null"), (true, "\"\"")] {
            let mut meter = Meter::new(usage_asked, 2, false, Some(Encoding::O200kBase));
            let whole = event(0, "hello", unfinished);
            let broken_off = event(1, "world", unfinished);
            let chunk = format!("{whole}{}", broken_off.get(..40).unwrap());
            assert_eq!(
                meter.take(&Bytes::from(chunk)),
                whole.as_bytes(),
                "nothing of an event that is not whole"
            );
            assert!(meter.may_end_here());
            assert_eq!(meter.seen().written_tokens, 1);
            let end = String::from_utf8(meter.ended_here().to_vec()).unwrap();
            let indexes: Vec<_> = end.matches("\"index\":").collect();
            assert_eq!((indexes.len(), end.ends_with("data: [DONE]\n\n")), (2, true), "{end}");
            let rest = broken_off.get(40..).unwrap().to_owned() + &event(0, "", "\"stop\"");
            let _ = meter.take(&Bytes::from(rest));
            assert!(meter.may_end_here(), "the second choice is open");
            let end = String::from_utf8(meter.ended_here().to_vec()).unwrap();
            assert!(end.contains("\"index\":1") && !end.contains("\"index\":0"), "{end}");
            let _ = meter.take(&Bytes::from(event(1, "", "\"stop\"")));
            assert!(!meter.may_end_here(), "both have ended by themselves");
        }
    }

    #[test]
    fn the_first_of_an_answer_is_a_word_or_a_call_and_no_role() {
        let cases = [
            (": keep-alive\n\n", false),
            ("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", false),
            ("data: {\"choices\":[{\"delta\":{\"content\": \"a\"}}]}\n\n", true),
            ("data: {\"choices\":[{\"delta\":{\"content\":null,\"reasoning_content\":\"a\"}}]}\n\n", true),
            (
                "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"\"}}]}}]}\n\n",
                true,
            ),
            ("data: [DONE]\n\n", false),
        ];
        for (event, begins) in cases {
            let mut meter = Meter::new(true, 1, false, None);
            let _ = meter.take(&Bytes::from(event));
            assert_eq!(meter.seen().has_begun, begins, "{event}");
        }
    }

    proptest! {
        #[test]
        fn who_asked_for_usage_gets_every_byte(
            events in stream(),
            ends in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            places in prop::collection::vec(any::<usize>(), 0..20),
            is_cut_off in any::<bool>(),
        ) {
            let mut stream = events.concat().replace('\n', ends).into_bytes();
            if is_cut_off {
                stream.truncate(stream.len().saturating_sub(3));
            }
            let (out, seen) = passed(true, cut(&stream, &places));
            prop_assert_eq!(&out, &stream);
            prop_assert_eq!(seen, passed(true, [&*stream]).1, "what is seen depends on no chunk");
        }

        #[test]
        fn who_did_not_ask_gets_every_byte_but_the_reports(
            events in stream(),
            ends in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            places in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let whole = events.concat().replace('\n', ends).into_bytes();
            let without: Vec<_> = events.iter().copied().filter(|event| *event != REPORT).collect();
            let (out, _) = passed(false, cut(&whole, &places));
            prop_assert_eq!(out, without.concat().replace('\n', ends).into_bytes());
        }
    }
}
