//! The answer to a file: a text for people, line by line in both languages, and an object for programs.

use std::{collections::BTreeMap, path::Path};

use client::{Outcome, Refusal, Severity, SubmissionId, Violation};
use domain::Message;
use serde_json::{Value, json};

use crate::{
    number::count,
    output::{Output, both},
    report_file::{Fault, Faults, FileReport, Place},
    submission::{self, fate_words, violation_object},
    submit::tell,
};

/// What became of a report of a file.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    /// Its submission id, if it was given one.
    pub(super) id: Option<SubmissionId>,
    pub(super) outcome: Outcome,
}

impl Fate {
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { id: None, outcome: Outcome::Refused(Box::new(refusal)) }
    }
}

/// How many reports ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    accepted: usize,
    duplicate: usize,
    superseded: usize,
    rejected: usize,
    given_up: usize,
}

/// What is said of a file.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    file: String,
    is_good: bool,
    reports: usize,
    counts: Counts,
    text: String,
    lines: Vec<Value>,
}

impl Answer {
    /// The answer to a file that could be read. There is a fate for each report.
    pub(super) fn of(file: &str, reports: &[FileReport], fates: &[Fate]) -> Self {
        let mut answer = Self::of_fates(file, fates);
        for (of, fate) in reports.iter().zip(fates) {
            answer.add(of, fate);
        }
        answer
    }

    /// The answer to a file that could be read when it was sent and cannot any more, by the reports' numbers in the file.
    pub(super) fn of_sent(file: &str, faults: &Faults, fates: &BTreeMap<usize, Fate>) -> Self {
        let mut answer = Self::of_fates(file, &fates.values().cloned().collect::<Vec<_>>());
        answer.say("");
        answer.say(
            "Tệp đã được gửi; nay danh mục đã đổi và không đọc lại được tệp, nên báo cáo được nêu theo số thứ tự.",
        );
        answer.say("The file was sent; the catalogue has changed since and the file cannot be read again: its reports are numbered.");
        for (index, fate) in fates {
            let number = index + 1;
            let (word, vi, en) = words(&fate.outcome);
            let id = fate.id.map(|id| id.to_string()).unwrap_or_default();
            answer.say("");
            answer.say(&format!("Báo cáo {number}: {vi}"));
            answer.say(&format!("Report {number}: {en}  [{id}]"));
            answer.violated(fate, |_| None);
            let mut object = json!({ "report": number, "outcome": word, "submission_id": id });
            object["violations"] = fate.outcome.violations().iter().map(violation_object).collect();
            object["violations_omitted"] = fate.outcome.violations_omitted().into();
            answer.lines.push(object);
        }
        answer.list(faults);
        answer
    }

    /// What is said of a file with these fates before they are told one by one.
    fn of_fates(file: &str, fates: &[Fate]) -> Self {
        let mut counts = Counts::default();
        for Fate { outcome, .. } in fates {
            *match outcome {
                Outcome::Accepted(_) | Outcome::Acknowledged(_) => &mut counts.accepted,
                Outcome::Duplicate(_) => &mut counts.duplicate,
                Outcome::Superseded(_) => &mut counts.superseded,
                Outcome::Rejected(_) | Outcome::Refused(_) => &mut counts.rejected,
                Outcome::GivenUp { .. } => &mut counts.given_up,
            } += 1;
        }
        let is_good = fates.iter().all(|fate| fate.outcome.is_good());
        let (reports, text, lines) = (fates.len(), String::new(), Vec::new());
        let mut answer = Self { file: file.to_owned(), is_good, reports, counts, text, lines };
        answer.head();
        if !is_good {
            let is_any_good = fates.iter().any(|fate| fate.outcome.is_good());
            let kept = both("Các dòng được chấp nhận đã được tính. ", "Lines that are accepted count already. ");
            let Message { vi, en } = if is_any_good { kept } else { both("", "") };
            answer.say(&format!("{vi}Hãy sửa các dòng bị từ chối và gửi lại trong một tệp mới."));
            answer.say(&format!("{en}Mend the lines that are refused and send them again in a new file."));
        }
        answer
    }

    /// The answer to a file that could not be read: nothing of it was sent.
    pub(super) fn of_faults(file: &str, faults: &Faults) -> Self {
        let mut answer = Self::of_nothing(file);
        let all = faults.list().len() as u64 + faults.omitted();
        let all = count(all);
        answer.say(&format!("Tệp có {all} lỗi; chưa gửi báo cáo nào. Hãy sửa và bỏ tệp vào thư mục lần nữa."));
        answer.say(&format!("The file has {all} faults; nothing was sent. Mend it and put it into the folder again."));
        answer.list(faults);
        answer
    }

    fn list(&mut self, faults: &Faults) {
        for Fault { place: Place { line, column }, field, message } in faults.list() {
            let field_shown = if field.is_empty() { String::new() } else { format!(" ({field})") };
            self.say("");
            self.say(&format!("Dòng {line}, cột {column}{field_shown}: {}", message.vi));
            self.say(&format!("Line {line}, column {column}{field_shown}: {}", message.en));
            self.lines.push(json!({
                "line": line, "column": column, "outcome": "fault", "field": field,
                "message_vi": message.vi, "message_en": message.en,
            }));
        }
        if faults.omitted() > 0 {
            let more = count(faults.omitted());
            self.say("");
            self.say(&format!("Và {more} lỗi khác. / And {more} more."));
        }
    }

    /// The answer to a file of which one thing is to be said.
    pub(super) fn of_sentence(file: &str, Message { vi, en }: &Message) -> Self {
        let mut answer = Self::of_nothing(file);
        answer.say(vi);
        answer.say(en);
        answer.lines.push(json!({ "outcome": "fault", "message_vi": vi, "message_en": en }));
        answer
    }

    fn of_nothing(file: &str) -> Self {
        let (counts, text, lines) = (Counts::default(), String::new(), Vec::new());
        let mut answer = Self { file: file.to_owned(), is_good: false, reports: 0, counts, text, lines };
        answer.say(&format!("Tệp {file}: bị từ chối."));
        answer.say(&format!("File {file}: refused."));
        answer
    }

    fn say(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn head(&mut self) {
        let (file, Message { vi, en }) = (self.file.clone(), self.counted());
        let (word_vi, word_en) =
            if self.is_good { ("đã gửi xong", "done") } else { ("bị từ chối", "refused") };
        self.say(&format!("Tệp {file}: {word_vi}. {vi}."));
        self.say(&format!("File {file}: {word_en}. {en}."));
    }

    fn counted(&self) -> Message {
        let Counts { accepted, duplicate, superseded, rejected, given_up } = self.counts;
        let [all, a, d, s, r, g] = [self.reports, accepted, duplicate, superseded, rejected, given_up].map(count);
        both(
            format!(
                "{all} báo cáo: chấp nhận {a}, trùng lặp {d}, đã có lần sửa mới hơn {s}, từ chối {r}, không gửi được {g}"
            ),
            format!("{all} reports: {a} accepted, {d} duplicate, {s} superseded, {r} refused, {g} given up"),
        )
    }

    /// Says what became of one report.
    fn add(&mut self, of: &FileReport, fate: &Fate) {
        let (word, vi, en) = words(&fate.outcome);
        let FileReport { place, report, .. } = of;
        let about = format!("{} {} {}", report.org_unit, report.data_set, report.period);
        let id = fate.id.map_or_else(|| report.submission_id.clone(), |id| id.to_string());
        let line = place.line;
        self.say("");
        self.say(&format!("Dòng {line}: {about}: {vi}"));
        self.say(&format!("Line {line}: {about}: {en}  [{id}]"));
        self.violated(fate, |violation| tell::value_of(of, violation));
        let mut object = match fate.outcome.answer() {
            Some(answer) => tell::object(of, word, submission::object(answer)),
            None => tell::object(of, word, json!({ "submission_id": id })),
        };
        if let Outcome::Refused(refusal) = &fate.outcome {
            object["reason"] = refusal.reason.clone().into();
            object["message_vi"] = refusal.message_vi.clone().into();
            object["message_en"] = refusal.message_en.clone().into();
        }
        object["violations"] = fate.outcome.violations().iter().map(|violation| tell::located(of, violation)).collect();
        self.lines.push(object);
    }

    /// Says what is wrong with a report, or odd about it, with its place in the file where it has one; or why it was refused, where no
    /// violation does.
    fn violated(&mut self, fate: &Fate, place: impl Fn(&Violation) -> Option<(Place, String)>) {
        for violation in fate.outcome.violations() {
            let Violation { reason, severity: _, field, message_vi, message_en } = violation;
            // An accepted report may have some; what is not marked so is why a report does not count.
            let Message { vi, en } = match violation.severity() {
                Severity::Warning => both("cảnh báo: ", "warning: "),
                Severity::Error | Severity::Unspecified => both("", ""),
            };
            match place(violation) {
                Some((Place { line, column }, cell)) => {
                    self.say(&format!("  - dòng {line}, cột {column}, ô {cell}: {vi}{message_vi}"));
                    self.say(&format!("    line {line}, column {column}, cell {cell}: {en}{message_en}  [{reason}]"));
                }
                None => {
                    let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
                    self.say(&format!("  - {field}{vi}{message_vi}"));
                    self.say(&format!("    {field}{en}{message_en}  [{reason}]"));
                }
            }
        }
        if let Some(Message { vi, en }) = submission::more_violations(fate.outcome.violations_omitted()) {
            self.say(&format!("  - {vi}"));
            self.say(&format!("    {en}"));
        }
        if let (Outcome::Refused(refusal), []) = (&fate.outcome, fate.outcome.violations()) {
            let Refusal { reason, message_vi, message_en, .. } = &**refusal;
            let said = if message_vi.is_empty() { message_en } else { message_vi };
            self.say(&format!("  - {said}"));
            self.say(&format!("    {message_en}  [{reason}]"));
        }
    }

    /// Whether nothing is left to be done about the file.
    pub(super) fn is_good(&self) -> bool {
        self.is_good
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// All of it for programs.
    pub(super) fn object(&self) -> Value {
        let mut object = self.head_object();
        object["lines"] = self.lines.clone().into();
        object
    }

    /// The object that the command prints.
    pub(super) fn summary(&self, moved: &Path) -> Value {
        let mut object = self.head_object();
        object["moved_to"] = moved.display().to_string().into();
        object
    }

    /// The line that the command prints.
    pub(super) fn line(&self, moved: &Path, output: &Output) -> String {
        format!("{} → {}: {}", self.file, moved.display(), output.say(&self.counted()))
    }

    fn head_object(&self) -> Value {
        let Counts { accepted, duplicate, superseded, rejected, given_up } = self.counts;
        json!({
            "file": self.file, "outcome": if self.is_good { "done" } else { "refused" }, "reports": self.reports,
            "accepted": accepted, "duplicate": duplicate, "superseded": superseded, "refused": rejected,
            "given_up": given_up,
        })
    }
}

/// An outcome's stable name, and its words in both languages.
fn words(outcome: &Outcome) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Outcome::Refused(_) => ("refused", "bị từ chối", "refused"),
        Outcome::Acknowledged(_) => ("acknowledged", "đã nhận", "acknowledged"),
        Outcome::GivenUp { acknowledgement: Some(_), .. } => (
            "undecided",
            "đã nhận nhưng quá lâu chưa có kết quả; hãy hỏi nơi tiếp nhận",
            "acknowledged, but its fate was not known for too long; ask those who run the service",
        ),
        Outcome::GivenUp { sent: true, .. } => (
            "unknown",
            "quá lâu không gửi được, chưa rõ đã nhận hay chưa; hãy gửi lại với cùng mã lần gửi",
            "could not be sent for too long, not known to be kept; send again under the same submission id",
        ),
        Outcome::GivenUp { .. } => {
            ("not_sent", "quá lâu không gửi được; hãy gửi lại", "could not be sent for too long; send again")
        }
        _ => outcome.answer().map_or(("unspecified", "không rõ", "unspecified"), |answer| fate_words(answer.fate())),
    }
}

#[cfg(test)]
mod tests {
    use client::GetSubmissionResponse;
    use proto::pb::query::v1::Fate as Told;

    use super::*;
    use crate::report_file::{Format, read};

    fn told(fate: Told, violations: Vec<Violation>) -> Box<GetSubmissionResponse> {
        Box::new(GetSubmissionResponse { fate: fate.into(), violations, ..Default::default() })
    }

    fn violation(field: &str) -> Violation {
        Violation {
            reason: "R".to_owned(),
            severity: Severity::Error.into(),
            field: field.to_owned(),
            message_vi: "sai".to_owned(),
            message_en: "wrong".to_owned(),
        }
    }

    #[test]
    fn every_line_is_answered_and_what_is_wrong_has_its_place() {
        let text = "org_unit,data_set,period,a,b[s03]\n1,x,2022,5,6\n2,x,2022,5,6\n3,x,2022,5,6\n4,x,2022,5,6\n";
        let reports = read(Format::Csv, text, None).unwrap().reports;
        let id = "0192f0c1-2b3c-7d4e-8f50-112233445566".parse().ok();
        let refused = Refusal { violations: vec![violation("values[1]")], ..Refusal::default() };
        let fates = [
            Outcome::Accepted(told(
                Told::Accepted,
                vec![Violation { severity: Severity::Warning.into(), ..violation("b[s03]") }],
            )),
            Outcome::Rejected(Box::new(GetSubmissionResponse {
                violations_omitted: 7,
                ..*told(Told::Rejected, vec![violation("a_at_most_b")])
            })),
            Outcome::Refused(Box::new(refused)),
            Outcome::GivenUp { sent: true, acknowledgement: None },
        ];
        let fates = fates.map(|outcome| Fate { id, outcome });
        let answer = Answer::of("r.csv", &reports, &fates);
        assert!(!answer.is_good());
        let id = "[0192f0c1-2b3c-7d4e-8f50-112233445566]";
        let expected = format!(
            "Tệp r.csv: bị từ chối. 4 báo cáo: chấp nhận 1, trùng lặp 0, đã có lần sửa mới hơn 0, từ chối 2, không gửi được 1.\n\
             File r.csv: refused. 4 reports: 1 accepted, 0 duplicate, 0 superseded, 2 refused, 1 given up.\n\
             Các dòng được chấp nhận đã được tính. Hãy sửa các dòng bị từ chối và gửi lại trong một tệp mới.\n\
             Lines that are accepted count already. Mend the lines that are refused and send them again in a new file.\n\
             \n\
             Dòng 2: 1 x 2022: được chấp nhận\n\
             Line 2: 1 x 2022: accepted  {id}\n  \
               - dòng 2, cột 5, ô b[s03]: cảnh báo: sai\n    \
                 line 2, column 5, cell b[s03]: warning: wrong  [R]\n\
             \n\
             Dòng 3: 2 x 2022: bị từ chối\n\
             Line 3: 2 x 2022: rejected  {id}\n  \
               - a_at_most_b: sai\n    \
                 a_at_most_b: wrong  [R]\n  \
               - và 7 điểm khác\n    \
                 and 7 more\n\
             \n\
             Dòng 4: 3 x 2022: bị từ chối\n\
             Line 4: 3 x 2022: refused  {id}\n  \
               - dòng 4, cột 5, ô b[s03]: sai\n    \
                 line 4, column 5, cell b[s03]: wrong  [R]\n\
             \n\
             Dòng 5: 4 x 2022: quá lâu không gửi được, chưa rõ đã nhận hay chưa; hãy gửi lại với cùng mã lần gửi\n\
             Line 5: 4 x 2022: could not be sent for too long, not known to be kept; send again under the same submission id  {id}\n"
        );
        assert_eq!(answer.text(), expected);
        let object = answer.object();
        assert_eq!((&object["outcome"], &object["refused"]), (&json!("refused"), &json!(2)));
        let lines: Vec<_> = object["lines"].as_array().unwrap().iter().map(|line| &line["outcome"]).collect();
        assert_eq!(lines, ["accepted", "rejected", "refused", "unknown"]);
        assert_eq!(object["lines"][2]["violations"][0]["cell"], "b[s03]");
    }

    #[test]
    fn what_was_there_before_is_as_good_as_new() {
        let reports = read(Format::Csv, "org_unit,data_set,period,a\n1,x,2022,5\n2,x,2022,5\n", None).unwrap().reports;
        let fates =
            [Outcome::Duplicate(told(Told::Duplicate, vec![])), Outcome::Superseded(told(Told::Superseded, vec![]))];
        let answer = Answer::of("r.csv", &reports, &fates.map(|outcome| Fate { id: None, outcome }));
        assert!(answer.is_good());
        assert!(answer.text().starts_with("Tệp r.csv: đã gửi xong. 2 báo cáo: chấp nhận 0, trùng lặp 1"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_answered_fault_by_fault() {
        let faults = read(Format::Csv, "org_unit,data_set,period,a\n1,x,2022,nhiều\n", None).unwrap_err();
        let answer = Answer::of_faults("r.csv", &faults);
        assert!(!answer.is_good());
        let lines: Vec<_> = answer.text().lines().filter(|line| line.contains("nhiều")).collect();
        assert!(lines.len() == 2 && lines[0].starts_with("Dòng 2, cột 4 (a): "), "{lines:?}");
        assert!(lines[1].starts_with("Line 2, column 4 (a): `nhiều` is neither"), "{lines:?}");
        assert_eq!(answer.object()["lines"][0]["line"], 2);
    }
}
