//! Values as people and programs write them. What could be meant in two ways is refused, with what it may mean.

use domain::{
    Message,
    catalogue::ValueType,
    number::{NumberError, PLAIN, VIETNAMESE},
};
use proto::pb::report::v1::value::Value;
use time::{Date, Month};

use crate::output::both;

/// A field that was read.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    pub(super) value: Value,
    /// What is odd about how it is written.
    pub(super) remark: Option<Message>,
}

/// The value that a field of a CSV file stands for; the field is not empty. Where the type of its cell is not known, what
/// depends on it is refused.
pub(super) fn of_field(field: &str, value_type: Option<ValueType>) -> Result<Read, Message> {
    let refused = |error| explain(field, value_type, &error);
    let plain = |value| Ok(Read { value, remark: None });
    match value_type {
        Some(ValueType::Text) => plain(Value::Text(field.to_owned())),
        Some(ValueType::Flag) => plain(Value::Flag(flag(field).ok_or_else(|| {
            both(
                format!("“{}” phải là có hoặc không (true, false, x)", shown(field)),
                format!("`{}` must be có or không (true, false, x)", shown(field)),
            )
        })?)),
        Some(ValueType::Date) => plain(Value::Date(date(field)?.ok_or_else(|| no_date(field))?)),
        Some(value_type) => {
            let number = VIETNAMESE.read(field, value_type).map_err(refused)?;
            let value = match value_type {
                ValueType::Decimal(places) => Value::Decimal(PLAIN.write(number, u32::from(places))),
                _ => Value::Integer(number),
            };
            Ok(Read { value, remark: leading_zeros(field) })
        }
        None => {
            if let Some(flag) = flag(field) {
                return plain(Value::Flag(flag));
            }
            if let Some(date) = date(field)? {
                return plain(Value::Date(date));
            }
            let written = VIETNAMESE.take_apart(field).map_err(refused)?;
            if written.may_be_decimal() {
                return Err(refused(VIETNAMESE.ambiguous(&written)));
            }
            let value = if written.is_whole() { integer(&written.plain())? } else { Value::Decimal(written.plain()) };
            Ok(Read { value, remark: leading_zeros(field) })
        }
    }
}

fn leading_zeros(field: &str) -> Option<Message> {
    let has_some = VIETNAMESE.take_apart(field).is_ok_and(|written| written.has_leading_zeros());
    has_some.then(|| {
        both(
            format!("“{field}” có số 0 thừa ở đầu, vẫn được nhận"),
            format!("`{field}` begins with zeros; it is taken"),
        )
    })
}

/// What is wrong with a number, and what it is likely to mean.
fn explain(field: &str, value_type: Option<ValueType>, error: &NumberError) -> Message {
    let text = shown(field);
    let asked = |likely: &[String]| match likely {
        [] => (String::new(), String::new()),
        likely => (format!("; có phải {}?", likely.join(" hay ")), format!("; is {} meant?", likely.join(" or "))),
    };
    match error {
        NumberError::Separators { likely } => {
            let (vi, en) = asked(likely);
            both(
                format!(
                    "“{text}” có dấu chấm hoặc dấu phẩy sai chỗ: dấu chấm chia từng nhóm ba chữ số, phần thập phân sau dấu phẩy{vi}"
                ),
                format!(
                    "`{text}` has separators where none belong: dots part groups of three digits, decimals stand after a comma{en}"
                ),
            )
        }
        NumberError::Spaces { likely } => {
            let (vi, en) = asked(likely);
            both(
                format!("“{text}” có khoảng trắng giữa các chữ số{vi}"),
                format!("`{text}` has spaces between the digits{en}"),
            )
        }
        NumberError::Ambiguous { whole, decimal } => {
            let (vi, en) = match value_type {
                Some(_) => ("", ""),
                None => ("; hoặc nêu danh mục bằng --catalogue", ", or name the catalogue by --catalogue"),
            };
            both(
                format!(
                    "“{text}” có thể là {whole} hoặc {decimal}: hãy viết {whole} nếu là số nguyên, {decimal} nếu là số thập phân{vi}"
                ),
                format!(
                    "`{text}` may be {whole} or {decimal}: write {whole} for the whole number, {decimal} for the other{en}"
                ),
            )
        }
        NumberError::NotWhole { likely } => {
            let (vi, en) = asked(likely);
            both(format!("“{text}” phải là số nguyên{vi}"), format!("`{text}` must be a whole number{en}"))
        }
        NumberError::Decimals { places } => both(
            format!("“{text}” có quá nhiều chữ số thập phân: tối đa {places}"),
            format!("`{text}` has too many decimals: at most {places}"),
        ),
        NumberError::Sign => both(
            format!("“{text}” có dấu + hoặc − không được phép ở đây"),
            format!("`{text}` has a sign where none belongs"),
        ),
        NumberError::Percent => {
            both(format!("“{text}”: hãy bỏ dấu %, chỉ viết số"), format!("`{text}`: leave out the per cent sign"))
        }
        NumberError::TooLarge => both(format!("số “{text}” quá lớn"), format!("the number `{text}` is too large")),
        NumberError::Empty | NumberError::NoNumber | NumberError::OtherType => match value_type {
            Some(_) => both(
                format!("“{text}” không phải một số; chỉ viết chữ số, ví dụ 1.205.627"),
                format!("`{text}` is not a number; write digits alone, such as 1.205.627"),
            ),
            None => both(
                format!("“{text}” không phải số, ngày (09/06/2023) hay có/không; văn bản cần danh mục (--catalogue)"),
                format!(
                    "`{text}` is neither a number, a day (09/06/2023) nor có/không; words need the catalogue (--catalogue)"
                ),
            ),
        },
    }
}

/// A day as Vietnam writes it, `09/06/2023`, or as programs do, `2023-06-09`, in the latter form; none where the text has
/// neither.
pub(super) fn date(text: &str) -> Result<Option<String>, Message> {
    let parts = |separator| text.split(separator).collect::<Vec<_>>();
    let (year, month, day) = match (&parts('/')[..], &parts('-')[..]) {
        (&[day, month, year], _) if day.len() <= 2 && month.len() <= 2 && year.len() == 4 => (year, month, day),
        (_, &[year, month, day]) if year.len() == 4 && month.len() == 2 && day.len() == 2 => (year, month, day),
        _ => return Ok(None),
    };
    if ![year, month, day].into_iter().all(all_digits) {
        return Ok(None);
    }
    let number = |text: &str| text.parse::<u16>().unwrap_or_default();
    let month = u8::try_from(number(month)).ok().and_then(|month| Month::try_from(month).ok());
    let found = month.zip(u8::try_from(number(day)).ok());
    let found = found.and_then(|(month, day)| Date::from_calendar_date(i32::from(number(year)), month, day).ok());
    let Some(found) = found else { return Err(no_date(text)) };
    let (year, month, day) = found.to_calendar_date();
    Ok(Some(format!("{year:04}-{:02}-{day:02}", u8::from(month))))
}

fn no_date(text: &str) -> Message {
    both(
        format!("“{}” không phải một ngày; viết ngày/tháng/năm: 09/06/2023", shown(text)),
        format!("`{}` is no day; write day/month/year, 09/06/2023, or 2023-06-09", shown(text)),
    )
}

/// Yes or no.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        // The second ones are the same words with accents as characters of their own.
        "true" | "có" | "co\u{301}" | "x" => Some(true),
        "false" | "không" | "kho\u{302}ng" => Some(false),
        _ => None,
    }
}

/// The value that a JSON number stands for, as it is written.
pub(super) fn of_number(literal: &str) -> Result<Value, Message> {
    if literal.contains(['e', 'E']) {
        return Err(both(
            format!("“{}”: hãy viết đầy đủ các chữ số, không dùng số mũ", shown(literal)),
            format!("`{}`: write all digits, without an exponent", shown(literal)),
        ));
    }
    if literal.contains('.') { Ok(Value::Decimal(literal.to_owned())) } else { integer(literal) }
}

/// The value that a JSON string stands for: what its cell takes where that is known, else a decimal number, a day or words.
pub(super) fn of_text(text: &str, value_type: Option<ValueType>) -> Result<Value, Message> {
    match value_type {
        Some(ValueType::Text) => return Ok(Value::Text(text.to_owned())),
        Some(ValueType::Date) => return Ok(Value::Date(date(text)?.ok_or_else(|| no_date(text))?)),
        // Words are told from days by looking at them alone.
        None if text.len() == 10 && text.contains('-') => {
            if let Ok(Some(date)) = date(text) {
                return Ok(Value::Date(date));
            }
        }
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
    if !numeric {
        return Ok(Value::Text(text.to_owned()));
    }
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    if all_digits(whole) && all_digits(decimals) { Ok(Value::Decimal(text.to_owned())) } else { Err(separated(text)) }
}

pub(super) fn integer(text: &str) -> Result<Value, Message> {
    text.parse().map(Value::Integer).map_err(|_| {
        both(format!("số “{}” quá lớn", shown(text)), format!("the number `{}` is too large", shown(text)))
    })
}

fn separated(text: &str) -> Message {
    both(
        format!(
            "“{}”: hãy viết số không có dấu phân cách hàng nghìn, phần thập phân sau dấu chấm: 1205627, 92.3",
            shown(text)
        ),
        format!("`{}`: write numbers without grouping, and decimals after a point: 1205627, 92.3", shown(text)),
    )
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text of the file as it is shown back: bounded, and without control characters.
pub(super) fn shown(text: &str) -> String {
    const LIMIT: usize = 40;
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(LIMIT).collect();
    if text.chars().count() > LIMIT {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: Option<ValueType> = Some(ValueType::Count);
    const RATE: Option<ValueType> = Some(ValueType::Decimal(1));

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.to_owned())
    }

    fn date(text: &str) -> Value {
        Value::Date(text.to_owned())
    }

    #[test]
    fn fields_of_a_csv_file_are_read_as_they_are_meant() {
        for (field, value_type, value) in [
            ("0", None, Value::Integer(0)),
            ("1205627", None, Value::Integer(1_205_627)),
            ("1.205.627", None, Value::Integer(1_205_627)),
            ("-3", None, Value::Integer(-3)),
            ("92,3", None, decimal("92.3")),
            ("-0,5", None, decimal("-0.5")),
            ("1.205.627,50", None, decimal("1205627.50")),
            ("1.205", COUNT, Value::Integer(1_205)),
            ("1.205.627", COUNT, Value::Integer(1_205_627)),
            ("92,3", RATE, decimal("92.3")),
            ("92", RATE, decimal("92.0")),
            ("1.205.627", RATE, decimal("1205627.0")),
            ("-1.205", Some(ValueType::Signed), Value::Integer(-1_205)),
            ("true", None, Value::Flag(true)),
            ("FALSE", None, Value::Flag(false)),
            ("Có", None, Value::Flag(true)),
            ("co\u{301}", None, Value::Flag(true)),
            ("KHÔNG", None, Value::Flag(false)),
            ("kho\u{302}ng", Some(ValueType::Flag), Value::Flag(false)),
            ("x", None, Value::Flag(true)),
            ("X", Some(ValueType::Flag), Value::Flag(true)),
            ("09/06/2023", None, date("2023-06-09")),
            ("9/6/2023", Some(ValueType::Date), date("2023-06-09")),
            ("2023-06-09", None, date("2023-06-09")),
            ("29/02/2024", Some(ValueType::Date), date("2024-02-29")),
            ("1.205", Some(ValueType::Text), Value::Text("1.205".to_owned())),
            ("có", Some(ValueType::Text), Value::Text("có".to_owned())),
            ("thiếu máy", Some(ValueType::Text), Value::Text("thiếu máy".to_owned())),
        ] {
            assert_eq!(
                of_field(field, value_type),
                Ok(Read { value, remark: None }),
                "for {field:?} as {value_type:?}"
            );
        }
    }

    #[test]
    fn zeros_in_front_are_taken_and_told_of() {
        for (field, value_type, value) in
            [("02", None, Value::Integer(2)), ("02", COUNT, Value::Integer(2)), ("02,5", RATE, decimal("2.5"))]
        {
            let read = of_field(field, value_type).unwrap();
            assert_eq!(read.value, value);
            assert_eq!(read.remark.unwrap().en, format!("`{field}` begins with zeros; it is taken"));
        }
    }

    #[test]
    fn fields_that_may_mean_two_things_are_refused_with_what_they_may_mean() {
        let separators =
            "has separators where none belong: dots part groups of three digits, decimals stand after a comma";
        for (field, value_type, expected) in [
            ("8.1026", None, format!("{separators}; is 81.026 or 8,1026 meant?")),
            ("8.1026", COUNT, format!("{separators}; is 81.026 meant?")),
            ("8.1026", RATE, format!("{separators}; is 81.026 or 8,1026 meant?")),
            ("1,205,627", None, format!("{separators}; is 1.205.627 meant?")),
            ("1.205,627.0", COUNT, format!("{separators}; is 1.205.627 meant?")),
            ("92.3", RATE, format!("{separators}; is 923 or 92,3 meant?")),
            ("5.", None, format!("{separators}; is 5 meant?")),
            ("1'205", None, format!("{separators}; is 1.205 or 1,205 meant?")),
            ("1 205", None, "has spaces between the digits; is 1.205 meant?".to_owned()),
            ("1\u{a0}205", COUNT, "has spaces between the digits; is 1.205 meant?".to_owned()),
            ("1.205", RATE, "may be 1205 or 1,205: write 1205 for the whole number, 1,205 for the other".to_owned()),
            (
                "-12.000",
                None,
                "may be -12000 or -12,000: write -12000 for the whole number, -12,000 for the other, or name the catalogue by --catalogue"
                    .to_owned(),
            ),
            ("1,205", COUNT, "must be a whole number; is 1.205 meant?".to_owned()),
            ("92,3", COUNT, "must be a whole number".to_owned()),
            ("92,35", RATE, "has too many decimals: at most 1".to_owned()),
            ("+5", None, "has a sign where none belongs".to_owned()),
            ("-5", COUNT, "has a sign where none belongs".to_owned()),
            ("gần 100", COUNT, "is not a number; write digits alone, such as 1.205.627".to_owned()),
            ("yes", Some(ValueType::Flag), "must be có or không (true, false, x)".to_owned()),
            ("1", Some(ValueType::Flag), "must be có or không (true, false, x)".to_owned()),
            ("31/02/2023", None, "is no day; write day/month/year, 09/06/2023, or 2023-06-09".to_owned()),
            ("06.2023", Some(ValueType::Date), "is no day; write day/month/year, 09/06/2023, or 2023-06-09".to_owned()),
        ] {
            let message = of_field(field, value_type).unwrap_err();
            assert_eq!(message.en, format!("`{field}` {expected}"), "as {value_type:?}");
            assert!(message.vi.contains(&format!("“{field}”")), "{}", message.vi);
        }
        let nothing = "is neither a number, a day (09/06/2023) nor có/không; words need the catalogue (--catalogue)";
        for field in [".5", "-", "1e3", "gần 100", "yes", "٣", "92,3% đạt"] {
            assert_eq!(of_field(field, None).unwrap_err().en, format!("`{field}` {nothing}"));
        }
        assert_eq!(of_field("92,3%", None).unwrap_err().en, "`92,3%`: leave out the per cent sign");
        let large = "99999999999999999999";
        assert_eq!(of_field(large, None).unwrap_err().en, format!("the number `{large}` is too large"));
        assert_eq!(
            of_field("8.1026", None).unwrap_err().vi,
            "“8.1026” có dấu chấm hoặc dấu phẩy sai chỗ: dấu chấm chia từng nhóm ba chữ số, phần thập phân sau dấu phẩy; có phải 81.026 hay 8,1026?"
        );
    }

    #[test]
    fn numbers_and_strings_of_json_are_taken_digit_by_digit() {
        assert_eq!(of_number("-7"), Ok(Value::Integer(-7)));
        assert_eq!(of_number("92.30"), Ok(decimal("92.30")), "not by way of a floating-point number");
        assert!(of_number("1e3").unwrap_err().en.contains("without an exponent"));
        assert!(of_number("9223372036854775808").unwrap_err().en.contains("too large"));
        let of_text = |text| of_text(text, None);
        assert_eq!(of_text("92.3"), Ok(decimal("92.3")));
        assert_eq!(of_text("1.205"), Ok(decimal("1.205")), "JSON has one decimal point");
        assert_eq!(of_text("7"), Ok(decimal("7")));
        assert_eq!(of_text("thiếu máy"), Ok(Value::Text("thiếu máy".to_owned())));
        assert_eq!(of_text("2022-11-07"), Ok(date("2022-11-07")));
        assert_eq!(of_text("09/06/2023"), Ok(Value::Text("09/06/2023".to_owned())));
        assert_eq!(of_text(""), Ok(Value::Text(String::new())));
        for refused in ["1.205.627", "1,205", "92,3", "5."] {
            assert!(of_text(refused).unwrap_err().en.contains("without grouping"), "for {refused}");
        }
    }

    #[test]
    fn strings_of_json_are_what_their_cells_take() {
        let text = Some(ValueType::Text);
        assert_eq!(of_text("7", text), Ok(Value::Text("7".to_owned())));
        assert_eq!(of_text("2022-11-07", text), Ok(Value::Text("2022-11-07".to_owned())));
        assert_eq!(of_text("07/11/2022", Some(ValueType::Date)), Ok(date("2022-11-07")));
        assert!(of_text("hôm qua", Some(ValueType::Date)).unwrap_err().en.contains("is no day"));
    }
}
