//! Events on the wire: whatever is in them, a client that reads by the HTML standard gets each back, and only those.
//!
//! The first byte of the input says which fields there are; `0xFF`, which UTF-8 does not have, is between them.

#![no_main]

use std::time::Duration;

use agentcore::sse::{Event, StreamItem};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some((&fields, input)) = input.split_first() else {
        return;
    };
    let texts: Vec<_> = input
        .split(|&byte| byte == 0xFF)
        .map(String::from_utf8_lossy)
        .collect();
    let text = |number: u8| {
        let has = fields & 1 << number != 0;
        has.then(|| texts.get(usize::from(number)).cloned().unwrap_or_default())
    };
    let (data, id, name, comment) = (text(0), text(1), text(2), text(3));
    // Data or a comment is what an event is made of.
    let mut event = match (&data, &comment) {
        (Some(data), _) => Event::text(data.as_ref()),
        (None, comment) => Event::comment(comment.clone().unwrap_or_default()),
    };
    if let Some(id) = &id {
        event = event.id(id.as_ref());
    }
    if let Some(name) = &name {
        event = event.event(name.as_ref());
    }
    let retry = (fields & 0x10 != 0).then(|| match texts.len() {
        0..4 => Duration::from_millis(texts[0].len() as u64),
        _ => Duration::MAX,
    });
    if let Some(retry) = retry {
        event = event.retry(retry);
    }

    let mut wire = StreamItem::encode(&event).expect("text").to_vec();
    assert!(!wire.contains(&b'\r'));
    // Nothing of it reaches into the next.
    wire.extend_from_slice(b"data: next\n\n");
    let read = Reader::read(&wire);
    let one_line = |text: &str| text.replace(['\r', '\n', '\0'], " ");
    let id = id.as_deref().map(one_line).unwrap_or_default();
    let mut expected = Vec::new();
    if let Some(data) = &data {
        expected.push(Received {
            data: data.replace("\r\n", "\n").replace('\r', "\n"),
            name: name.as_deref().map(one_line).unwrap_or_default(),
            id: id.clone(),
        });
    }
    expected.push(Received {
        data: "next".to_owned(),
        name: String::new(),
        id,
    });
    assert_eq!(read.events, expected);
    assert_eq!(read.retry, retry.map(|retry| retry.as_millis()));
    assert_eq!(read.unknown, 0, "a field that the format does not have");

    // A value is one event as well.
    if let Some(data) = &data {
        let value = serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_string()));
        let wire = StreamItem::encode(&value).expect("JSON");
        let read = Reader::read(&wire);
        assert_eq!(read.events.len(), 1);
        let json = serde_json::to_string(&value).expect("JSON");
        assert_eq!(read.events[0].data, json);
    }
});

#[derive(Debug, PartialEq, Eq)]
struct Received {
    data: String,
    name: String,
    id: String,
}

/// "Interpreting an event stream", word by word.
#[derive(Default)]
struct Reader {
    data: String,
    name: String,
    id: String,
    retry: Option<u128>,
    events: Vec<Received>,
    unknown: usize,
}

impl Reader {
    fn read(wire: &[u8]) -> Self {
        let text = std::str::from_utf8(wire).expect("UTF-8");
        let mut reader = Self::default();
        let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        while let Some(end) = rest.find(['\r', '\n']) {
            let (line, after) = rest.split_at(end);
            rest = after.strip_prefix("\r\n").unwrap_or(&after[1..]);
            reader.line(line);
        }
        assert_eq!(rest, "", "something behind the last line");
        reader
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            let name = std::mem::take(&mut self.name);
            if data.is_empty() {
                return;
            }
            data.pop();
            let id = self.id.clone();
            self.events.push(Received { data, name, id });
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => {}
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok()
            }
            _ => self.unknown += 1,
        }
    }
}
