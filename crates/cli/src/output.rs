//! What a command says, and to whom: results to standard output, as text or as JSON; everything else to standard error.

use std::{
    cell::RefCell,
    error::Error,
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use domain::Message;
use serde_json::{Value, json};

use crate::args::Lang;

/// A sentence in both languages.
pub(crate) fn both(vi: impl Into<String>, en: impl Into<String>) -> Message {
    Message { vi: vi.into(), en: en.into() }
}

/// Why a command could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A stable reason: that of the server, or ours.
    pub(crate) reason: String,
    pub(crate) message: Message,
    /// What is wrong field by field.
    pub(crate) fields: Vec<Field>,
    /// Whether the same request may succeed later.
    pub(crate) may_pass: bool,
}

/// What is wrong with a field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) field: String,
    pub(crate) description: String,
}

impl Failure {
    /// A failure of ours.
    pub(crate) fn new(message: Message) -> Self {
        Self { reason: "FAILED".to_owned(), message, fields: Vec::new(), may_pass: false }
    }

    /// A failure with an error behind it, whose own words are the same in both languages.
    pub(crate) fn caused(vi: &str, en: &str, cause: &dyn Error) -> Self {
        let cause = chain(cause);
        Self::new(both(format!("{vi}: {cause}"), format!("{en}: {cause}")))
    }
}

/// An error and what caused it, outermost first.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let source_text = source.to_string();
        // Some libraries repeat their source in their own words.
        if !text.ends_with(&source_text) {
            text.push_str(": ");
            text.push_str(&source_text);
        }
        next = source.source();
    }
    text
}

/// A URL without the name and password that it may hold; several with commas between.
pub(crate) fn without_secrets(url: &str) -> String {
    let parts: Vec<&str> = url.split('@').collect();
    let Some((last, others)) = parts.split_last() else { return String::new() };
    let kept = others.iter().map(|part| part.rfind("://").map_or("", |scheme| &part[..scheme + 3]));
    kept.chain([*last]).collect()
}

/// Where a command's words go.
pub(crate) struct Output {
    json: bool,
    lang: Lang,
    results: RefCell<Sink>,
    remarks: RefCell<Sink>,
}

/// A stream, and whether nothing more can be written to it.
struct Sink {
    stream: Box<dyn Write>,
    closed: bool,
    /// Why, unless its reader has gone away.
    lost: Option<io::Error>,
}

impl Sink {
    fn new(stream: impl Write + 'static) -> RefCell<Self> {
        RefCell::new(Self { stream: Box::new(stream), closed: false, lost: None })
    }

    /// Writes and flushes; who watches wants to see each line at once. A reader that has gone (`| head`) is no failure.
    fn write(&mut self, text: fmt::Arguments<'_>) {
        if let Err(error) = self.stream.write_fmt(text).and_then(|()| self.stream.flush()) {
            self.closed = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.lost = Some(error);
            }
        }
    }
}

impl Output {
    /// The streams of the process.
    pub(crate) fn of_process(json: bool, lang: Lang) -> Self {
        Self { json, lang, results: Sink::new(io::stdout()), remarks: Sink::new(io::stderr()) }
    }

    /// One of the two texts: the first makes the object of `--json`, the second the text for people.
    pub(crate) fn result(&self, object: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.json {
            self.results.borrow_mut().write(format_args!("{}\n", object()));
        } else {
            self.results.borrow_mut().write(format_args!("{}\n", text().trim_end_matches('\n')));
        }
    }

    /// Bad news about one item: an object among the results, or a line on standard error.
    pub(crate) fn complaint(&self, object: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.json {
            self.results.borrow_mut().write(format_args!("{}\n", object()));
        } else {
            self.remarks.borrow_mut().write(format_args!("{}\n", text()));
        }
    }

    /// A remark on how things go.
    pub(crate) fn remark(&self, message: &Message) {
        let text = self.say(message);
        self.remarks.borrow_mut().write(format_args!("{text}\n"));
    }

    /// Whether nobody reads the results any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.results.borrow().closed
    }

    /// Why results could not be written although somebody wants them: a full disk.
    pub(crate) fn lost(&self) -> Option<Failure> {
        let lost = self.results.borrow_mut().lost.take()?;
        Some(Failure::caused("không ghi được kết quả", "what there is to say could not be written", &lost))
    }

    /// A sentence in the language that was asked for.
    pub(crate) fn say(&self, message: &Message) -> String {
        self.lang.of(&message.vi, &message.en)
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn lang(&self) -> Lang {
        self.lang
    }

    /// Says why the command failed: sentences on standard error, and with `--json` an object among the results.
    pub(crate) fn failed(&self, failure: &Failure) -> ExitCode {
        let Failure { reason, message: Message { vi, en }, fields, may_pass: _ } = failure;
        let reason_shown = if reason == "FAILED" { String::new() } else { format!(" [{reason}]") };
        let text = match fields.as_slice() {
            // What is wrong with a single field is the message itself, which in English begins with the field.
            [Field { field, .. }] if en.starts_with(&format!("{field}: ")) => {
                let en = &en[field.len() + 2..];
                format!("tonghop: {field}: {}{reason_shown}", self.lang.of(vi, en))
            }
            _ => {
                let head = format!("tonghop: {}{reason_shown}", self.lang.of(vi, en));
                let lines = fields.iter().map(|Field { field, description }| format!("\n  {field}: {description}"));
                head + &lines.collect::<String>()
            }
        };
        self.remarks.borrow_mut().write(format_args!("{text}\n"));
        if self.json {
            let fields: Vec<Value> = fields
                .iter()
                .map(|Field { field, description }| json!({ "field": field, "description": description }))
                .collect();
            let error = json!({ "reason": reason, "message_vi": vi, "message_en": en, "fields": fields });
            self.results.borrow_mut().write(format_args!("{}\n", json!({ "error": error })));
        }
        ExitCode::FAILURE
    }
}

impl Lang {
    /// The text in this language; both where they differ.
    pub(crate) fn of(self, vi: &str, en: &str) -> String {
        match self {
            Self::Both if vi.is_empty() || vi == en => en.to_owned(),
            Self::Both if en.is_empty() => vi.to_owned(),
            Self::Both => format!("{vi} / {en}"),
            Self::Vi if !vi.is_empty() => vi.to_owned(),
            Self::En if en.is_empty() => vi.to_owned(),
            Self::Vi | Self::En => en.to_owned(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// An output, and what was written to its standard output and standard error.
    pub(crate) fn captured(json: bool, lang: Lang) -> (Output, impl Fn() -> (String, String)) {
        let (results, remarks) = (Captured::default(), Captured::default());
        let output = Output { json, lang, results: Sink::new(results.clone()), remarks: Sink::new(remarks.clone()) };
        (output, move || (results.text(), remarks.text()))
    }

    #[test]
    fn a_failure_is_told_field_by_field_and_once_as_json() {
        let failure = Failure {
            reason: "PERIOD_MALFORMED".to_owned(),
            message: both("sai kỳ", "wrong period"),
            fields: vec![
                Field { field: "period".to_owned(), description: "PERIOD_MALFORMED: wrong / sai".to_owned() },
                Field { field: "org_unit".to_owned(), description: "ORG_UNIT_UNKNOWN: none / không có".to_owned() },
            ],
            may_pass: false,
        };
        let (output, written) = captured(false, Lang::Both);
        output.failed(&failure);
        let stderr = "tonghop: sai kỳ / wrong period [PERIOD_MALFORMED]\n  period: PERIOD_MALFORMED: wrong / sai\n  \
                      org_unit: ORG_UNIT_UNKNOWN: none / không có\n";
        assert_eq!(written(), (String::new(), stderr.to_owned()));

        let (output, written) = captured(true, Lang::En);
        output.failed(&failure);
        let (stdout, stderr) = written();
        assert!(stderr.starts_with("tonghop: wrong period [PERIOD_MALFORMED]\n"));
        let object: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(object["error"]["message_vi"], "sai kỳ");
        assert_eq!(object["error"]["fields"][0]["field"], "period");
    }

    #[test]
    fn a_single_field_is_told_once() {
        let field = Field { field: "period".to_owned(), description: "PERIOD_MALFORMED: wrong / sai".to_owned() };
        let (reason, message) = ("PERIOD_MALFORMED".to_owned(), both("sai", "period: wrong"));
        let (output, written) = captured(false, Lang::Both);
        output.failed(&Failure { reason, fields: vec![field], ..Failure::new(message) });
        assert_eq!(written().1, "tonghop: period: sai / wrong [PERIOD_MALFORMED]\n");
    }

    #[test]
    fn a_language_that_is_missing_is_stood_in_for() {
        assert_eq!(Lang::Both.of("a", "b"), "a / b");
        assert_eq!(Lang::Both.of("", "b"), "b");
        assert_eq!(Lang::Both.of("a", ""), "a");
        assert_eq!(Lang::Vi.of("", "b"), "b");
        assert_eq!(Lang::En.of("a", ""), "a");
    }

    #[test]
    fn urls_are_shown_without_passwords() {
        for (url, shown) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("postgres://me:secret@h:5432/x", "postgres://h:5432/x"),
            ("nats://a:b@h1,nats://c:d,e@h2", "nats://h1,nats://h2"),
            ("a:b@h", "h"),
        ] {
            assert_eq!(without_secrets(url), shown, "for {url}");
        }
    }

    #[test]
    fn a_reader_that_went_away_is_noticed() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let output = Output { json: false, lang: Lang::En, results: Sink::new(Gone), remarks: Sink::new(Gone) };
        assert!(!output.is_closed());
        output.result(|| json!({}), String::new);
        assert!(output.is_closed() && output.lost().is_none());
    }

    #[test]
    fn what_cannot_be_written_is_a_failure() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Output { json: false, lang: Lang::En, results: Sink::new(full), remarks: Sink::new(io::sink()) };
        assert!(output.lost().is_none());
        output.result(|| json!({}), String::new);
        assert!(output.is_closed() && output.lost().is_some());
    }
}
