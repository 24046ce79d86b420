//! How a capture is broken: its JSON tree, edited by the names that people use.
//!
//! An edit that finds nothing to edit stops the test: it would prove nothing.

use serde_json::{Value, json};

use crate::common::Capture;

/// Something that carries attributes: a span, an event, a log record, a resource.
pub struct Node<'a>(pub &'a mut Value);

pub const POLICY: &str = "genops.policy.evaluated";
pub const RESERVATION: &str = "genops.budget.reservation";
pub const RECONCILIATION: &str = "genops.budget.reconciliation";

pub const RESULT: &str = "genops.policy.result";
pub const REASON_CODE: &str = "genops.policy.reason_code";
pub const RESERVED: &str = "genops.accounting.reserved";
pub const ACTUAL: &str = "genops.accounting.actual";
pub const UNIT: &str = "genops.accounting.unit";

pub fn text(text: &str) -> Value {
    json!({ "stringValue": text })
}

pub fn int(int: i64) -> Value {
    json!({ "intValue": int.to_string() })
}

pub fn double(double: f64) -> Value {
    json!({ "doubleValue": double })
}

/// A double that JSON has no number for: `NaN`, `Infinity`.
pub fn no_number(name: &str) -> Value {
    json!({ "doubleValue": name })
}

pub fn boolean(bool: bool) -> Value {
    json!({ "boolValue": bool })
}

pub fn texts(texts: &[&str]) -> Value {
    let values: Vec<Value> = texts.iter().map(|one| text(one)).collect();
    json!({ "arrayValue": { "values": values } })
}

pub fn map() -> Value {
    json!({ "kvlistValue": { "values": [{ "key": "name", "value": { "stringValue": "payments" } }] } })
}

pub fn bytes() -> Value {
    json!({ "bytesValue": "cGF5bWVudHM=" })
}

/// A value of no kind: OTLP's null.
pub fn null() -> Value {
    json!({})
}

impl Capture {
    /// The first AWU's span.
    pub fn awu(&mut self) -> Node<'_> {
        self.awu_at(0)
    }

    /// The AWU's span at this place.
    pub fn awu_at(&mut self, place: usize) -> Node<'_> {
        Node(self.spans().into_iter().filter(is_awu).nth(place).expect("an AWU's span"))
    }

    /// The first model call.
    pub fn call(&mut self) -> Node<'_> {
        Node(self.spans().into_iter().find(|span| span["kind"] == 3).expect("a model call"))
    }

    /// The log record of this event.
    pub fn log(&mut self, name: &str) -> Node<'_> {
        Node(self.logs().into_iter().find(|log| log["eventName"] == name).expect("a log record"))
    }

    /// The resource of the first AWU's span.
    pub fn resource(&mut self) -> Node<'_> {
        Node(&mut self.documents[0]["resourceSpans"][0]["resource"])
    }

    /// The instrumentation scope of the first AWU's span.
    pub fn scope(&mut self) -> Node<'_> {
        Node(&mut self.documents[0]["resourceSpans"][0]["scopeSpans"][0]["scope"])
    }

    /// Puts a span beside the first one.
    pub fn add_span(&mut self, span: Value) {
        list(&mut self.documents[0]["resourceSpans"][0]["scopeSpans"][0]["spans"]).push(span);
    }

    /// Puts a log record beside the others, in a request of its own.
    pub fn add_log(&mut self, log: Value) {
        let mut request = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [] }] }] });
        list(&mut request["resourceLogs"][0]["scopeLogs"][0]["logRecords"]).push(log);
        self.documents.push(request);
    }

    /// Reports the first AWU's span a second time, changed.
    pub fn report_again(&mut self, change: impl Fn(&mut Node<'_>)) {
        let mut again = self.awu().0.clone();
        change(&mut Node(&mut again));
        self.add_span(again);
    }

    /// Takes out the first model call.
    pub fn drop_call(&mut self) {
        self.retain_spans(|span| span["kind"] != 3);
    }

    /// Keeps the spans that are wanted.
    pub fn retain_spans(&mut self, is_wanted: impl Fn(&Value) -> bool) {
        let before = self.spans().len();
        for document in &mut self.documents {
            for scope in scopes(document, "resourceSpans", "scopeSpans") {
                list(&mut scope["spans"]).retain(&is_wanted);
            }
        }
        assert!(self.spans().len() < before, "there is no such span");
    }

    /// Sets an attribute wherever it stands: on spans, events and log records.
    pub fn set_everywhere(&mut self, key: &str, value: &Value) {
        let mut is_found = false;
        let mut change = |node: &mut Value| {
            let mut node = Node(node);
            if node.has(key) {
                node.set(key, value.clone());
                is_found = true;
            }
        };
        for span in self.spans() {
            change(span);
            span.get_mut("events").map(list).into_iter().flatten().for_each(&mut change);
        }
        self.logs().into_iter().for_each(&mut change);
        assert!(is_found, "nothing carries {key}");
    }

    /// Takes an attribute out wherever it stands.
    pub fn remove_everywhere(&mut self, key: &str) {
        for span in self.spans() {
            Node(span).forget(key);
            let events = span.get_mut("events").map(list);
            events.into_iter().flatten().for_each(|event| Node(event).forget(key));
        }
        self.logs().into_iter().for_each(|log| Node(log).forget(key));
    }

    /// Gives everything another trace.
    pub fn rename_trace(&mut self, number: u32) {
        let name = format!("{number:032x}").replacen('0', "a", 1);
        for record in self.spans() {
            record["traceId"] = json!(name);
        }
        for record in self.logs() {
            record["traceId"] = json!(name);
        }
    }

    fn spans(&mut self) -> Vec<&mut Value> {
        let documents = self.documents.iter_mut();
        let scopes = documents.flat_map(|document| scopes(document, "resourceSpans", "scopeSpans"));
        scopes.flat_map(|scope| list(&mut scope["spans"])).collect()
    }

    fn logs(&mut self) -> Vec<&mut Value> {
        let documents = self.documents.iter_mut();
        let scopes = documents.flat_map(|document| scopes(document, "resourceLogs", "scopeLogs"));
        scopes.flat_map(|scope| list(&mut scope["logRecords"])).collect()
    }
}

impl Node<'_> {
    /// Sets an attribute: in its place, or as the last one.
    pub fn set(&mut self, key: &str, value: Value) -> &mut Self {
        match self.attributes().iter_mut().find(|pair| pair["key"] == key) {
            Some(pair) => pair["value"] = value,
            None => return self.also(key, value),
        }
        self
    }

    /// Adds an attribute, whether there is one of that name or not.
    pub fn also(&mut self, key: &str, value: Value) -> &mut Self {
        let mut pair = json!({ "key": key });
        pair["value"] = value;
        self.attributes().push(pair);
        self
    }

    /// Takes an attribute out.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        assert!(self.has(key), "there is no attribute {key}");
        self.forget(key);
        self
    }

    /// Gives an attribute another name.
    pub fn rename(&mut self, from: &str, to: &str) -> &mut Self {
        let pair = self.attributes().iter_mut().find(|pair| pair["key"] == from);
        pair.expect("an attribute of this name")["key"] = json!(to);
        self
    }

    /// Sets a field of OTLP.
    pub fn field(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0[name] = value.into();
        self
    }

    /// The first event of this name.
    pub fn event(&mut self, name: &str) -> Node<'_> {
        let event = list(&mut self.0["events"]).iter_mut().find(|event| event["name"] == name);
        Node(event.expect("an event of this name"))
    }

    /// The last event of this name.
    pub fn last_event(&mut self, name: &str) -> Node<'_> {
        let event = list(&mut self.0["events"]).iter_mut().rfind(|event| event["name"] == name);
        Node(event.expect("an event of this name"))
    }

    /// Takes the events of this name out.
    pub fn drop_event(&mut self, name: &str) -> &mut Self {
        let events = list(&mut self.0["events"]);
        let before = events.len();
        events.retain(|event| event["name"] != name);
        assert!(events.len() < before, "there is no event {name}");
        self
    }

    /// Adds an event, so many milliseconds after the span's start.
    pub fn add_event(&mut self, name: &str, after_ms: i64, attributes: &[(&str, Value)]) -> &mut Self {
        let pairs: Vec<Value> =
            attributes.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let time = (time_of(&self.0["startTimeUnixNano"]) + after_ms * MS).to_string();
        let event = json!({ "timeUnixNano": time, "name": name, "attributes": pairs });
        list(&mut self.0["events"]).push(event);
        self
    }

    /// Lets an event happen so many milliseconds after the span's start.
    pub fn move_event(&mut self, name: &str, after_ms: i64) -> &mut Self {
        let time = (time_of(&self.0["startTimeUnixNano"]) + after_ms * MS).to_string();
        self.event(name).field("timeUnixNano", time);
        self
    }

    /// Lets a span start earlier, by so many milliseconds.
    pub fn start_earlier(&mut self, by_ms: i64) -> &mut Self {
        let time = (time_of(&self.0["startTimeUnixNano"]) - by_ms * MS).to_string();
        self.field("startTimeUnixNano", time)
    }

    /// Sets several attributes.
    pub fn set_all(&mut self, attributes: &[(&str, Value)]) -> &mut Self {
        for (key, value) in attributes {
            self.set(key, value.clone());
        }
        self
    }

    fn has(&mut self, key: &str) -> bool {
        self.attributes().iter().any(|pair| pair["key"] == key)
    }

    fn forget(&mut self, key: &str) {
        self.attributes().retain(|pair| pair["key"] != key);
    }

    fn attributes(&mut self) -> &mut Vec<Value> {
        list(&mut self.0["attributes"])
    }
}

const MS: i64 = 1_000_000;

fn is_awu(span: &&mut Value) -> bool {
    let attributes = span["attributes"].as_array().map(Vec::as_slice).unwrap_or_default();
    attributes.iter().any(|pair| pair["key"].as_str().is_some_and(|key| key.starts_with("genops.")))
}

fn time_of(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).expect("a time")
}

fn scopes<'a>(document: &'a mut Value, resources: &str, scopes: &str) -> Vec<&'a mut Value> {
    let resources = document.get_mut(resources).map(list);
    resources.into_iter().flatten().flat_map(|resource| list(&mut resource[scopes])).collect()
}

/// Turns the order of spans and log records round; what stands inside of them keeps its order.
pub fn reverse_records(document: &mut Value) {
    for (resources, scopes_of, records) in
        [("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")]
    {
        for scope in scopes(document, resources, scopes_of) {
            list(&mut scope[records]).reverse();
        }
    }
}

/// A list, which is there afterwards if it was not.
pub fn list(value: &mut Value) -> &mut Vec<Value> {
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().expect("a list")
}
