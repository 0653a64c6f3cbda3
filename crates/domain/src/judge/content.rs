//! Reading what a report says, cell by cell.

use time::{Date, Month};

use crate::{
    CELL_LIMIT, Catalogue, Content, Note, Reason, UnitIx, Values, Vintage, Violations,
    catalogue::{Cell, DataSet, ValueType},
    draft::{Draft, DraftValue, Given},
    number::{ENGLISH, VIETNAMESE},
    words::{self, WordsError, shown},
};

/// The first year whose days are taken: a day before it is a year typed wrong.
const FIRST_YEAR: i32 = 1900;

/// The form that a claimed report is held against.
pub(super) struct Form<'c> {
    pub(super) catalogue: &'c Catalogue,
    pub(super) data_set: &'c DataSet,
    pub(super) vintage: &'c Vintage,
    /// Who reports, where it is known.
    pub(super) unit: Option<UnitIx>,
    /// The day on which the report came in.
    pub(super) today: Date,
}

impl Form<'_> {
    /// What a report says. Where something is wrong with it, that is added to the violations, and what is given back is of
    /// no use.
    pub(super) fn read(&self, draft: &Draft<'_>, violations: &mut Violations) -> Content {
        let data_set = self.data_set;
        if draft.withdrawn {
            if !draft.values.is_empty() {
                violations.error(
                    Reason::WithdrawalWithValues,
                    "values",
                    "Báo cáo rút lại không được kèm số liệu.",
                    "a withdrawal carries no values; leave them out, or leave out `withdrawn`",
                );
            }
            return Content::Withdrawn;
        }
        if draft.values.is_empty() {
            refuse_empty(violations);
        }
        let cells = data_set.cells();
        if draft.values.len() > cells.len() {
            violations.error(
                Reason::ValuesTooMany,
                "values",
                format!(
                    "Báo cáo có {} số liệu, biểu mẫu “{}” chỉ có {} ô.",
                    draft.values.len(),
                    data_set.name_vi(),
                    cells.len()
                ),
                format!("there are {} values; `{}` has {} cells", draft.values.len(), data_set.code(), cells.len()),
            );
            return Content::Withdrawn; // not looked at: the report is refused whatever its values are
        }
        let mut numbers = vec![None; cells.len()];
        let mut notes = Vec::new();
        // A cell is named once, also where what is first given for it is wrong.
        let mut named = vec![false; cells.len()];
        let mut blank = 0;
        for (place, given) in draft.values.iter().enumerate() {
            let Some(at) = find_cell(data_set, place, given) else {
                refuse_unknown(data_set, place, given, violations);
                continue;
            };
            let cell = &cells[at];
            if std::mem::replace(&mut named[at], true) {
                violations.error(
                    Reason::CellRepeated,
                    format!("values[{place}]"),
                    format!("Ô “{cell}” ({}) có nhiều hơn một giá trị.", cell.element.name_vi),
                    format!("{cell} is given more than once"),
                );
                continue;
            }
            if let Some(unit) = self.unit.filter(|unit| !self.catalogue.fills(cell, self.vintage, *unit)) {
                let level = self.catalogue.level(self.vintage.unit(unit).level);
                violations.error(
                    Reason::CellNotForLevel,
                    format!("values[{place}]"),
                    format!(
                        "Đơn vị thuộc {} không báo cáo ô “{cell}” ({}).",
                        level.in_sentence_vi(),
                        cell.element.name_vi
                    ),
                    format!("a {} does not report {cell}", level.code),
                );
                continue;
            }
            match self.read_value(cell, given.given) {
                Ok(Kept::Number(number)) => numbers[at] = Some(number),
                Ok(Kept::Words(text)) => {
                    numbers[at] = Some(0);
                    notes.push(Note { cell: at, text });
                }
                Ok(Kept::Nothing) => blank += 1,
                Err(refused) => refused.tell(cell, place, self.today, violations),
            }
        }
        // Blank words are no words: with nothing else nothing is reported.
        if blank > 0 && blank == draft.values.len() {
            refuse_empty(violations);
        }
        // In the form's order, whatever the sender's: the same words are the same content.
        notes.sort_by_key(|note| note.cell);
        Content::Values(Values::with_notes(numbers, notes))
    }

    /// A given value as its cell keeps it.
    fn read_value(&self, cell: &Cell, given: Given<'_>) -> Result<Kept, Refused> {
        let value_type = cell.element.value_type;
        let number = match (value_type, given) {
            (ValueType::Count | ValueType::Signed, Given::Integer(number)) => number,
            (ValueType::Flag, Given::Flag(flag)) => i64::from(flag),
            (ValueType::Decimal(places), Given::Integer(number)) => {
                number.checked_mul(10_i64.pow(u32::from(places))).ok_or(Refused::TooLarge)?
            }
            (ValueType::Decimal(places), Given::Decimal(text)) => scaled(text, places)?,
            (ValueType::Date, Given::Date(text)) => return self.read_day(text).map(Kept::Number),
            (ValueType::Text, Given::Text(text)) => {
                let text = words::read(text).map_err(Refused::Words)?;
                return Ok(if text.is_empty() { Kept::Nothing } else { Kept::Words(text) });
            }
            _ => return Err(Refused::Type),
        };
        if number < 0 && value_type != ValueType::Signed {
            return Err(Refused::Negative);
        }
        if number.unsigned_abs() > CELL_LIMIT.unsigned_abs() {
            return Err(Refused::TooLarge);
        }
        Ok(Kept::Number(number))
    }

    /// `2022-06-01` is 20220601.
    fn read_day(&self, text: &str) -> Result<i64, Refused> {
        let day = day(text).ok_or(Refused::Type)?;
        if day > self.today || day.year() < FIRST_YEAR {
            return Err(Refused::Day);
        }
        let (year, month, day) = day.to_calendar_date();
        Ok(i64::from(year) * 10_000 + i64::from(u8::from(month)) * 100 + i64::from(day))
    }
}

/// A value as a cell keeps it.
enum Kept {
    Number(i64),
    Words(Box<str>),
    Nothing,
}

fn refuse_empty(violations: &mut Violations) {
    violations.error(
        Reason::ValuesMissing,
        "values",
        "Báo cáo không có số liệu nào; nếu muốn rút báo cáo, hãy đặt withdrawn.",
        "there is no value; to take a report back set `withdrawn`",
    );
}

fn refuse_unknown(data_set: &DataSet, place: usize, given: &DraftValue<'_>, violations: &mut Violations) {
    let name = if given.option.is_empty() {
        shown(given.element)
    } else {
        format!("{}[{}]", shown(given.element), shown(given.option))
    };
    violations.error(
        Reason::CellUnknown,
        format!("values[{place}]"),
        format!("Biểu mẫu “{}” không có ô số liệu {name}.", data_set.name_vi()),
        format!("`{}` has no cell {name}", data_set.code()),
    );
}

/// Senders mostly keep the form's order: try the cell in the same place before looking it up.
fn find_cell(data_set: &DataSet, place: usize, given: &DraftValue<'_>) -> Option<usize> {
    // A loop of our own: names are short and nearly always equal, and a call of `memcmp` for each took more than half of the
    // time that reading and weighing a report of forty cells took.
    let same = |a: &str, b: &str| a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b);
    let named = |cell: &Cell| {
        same(cell.element.code.as_str(), given.element)
            && same(cell.option.as_ref().map_or("", |option| option.code.as_str()), given.option)
    };
    if data_set.cells().get(place).is_some_and(named) {
        Some(place)
    } else {
        data_set.find_cell(given.element, given.option)
    }
}

/// Why a value does not fit its cell.
enum Refused {
    Type,
    Negative,
    Decimals,
    TooLarge,
    Day,
    Words(WordsError),
}

impl Refused {
    /// Tells of it without the value: it is kept with the report, and may be what must not be kept.
    fn tell(&self, cell: &Cell, place: usize, today: Date, violations: &mut Violations) {
        let name = &cell.element.name_vi;
        let (reason, vi, en) = match self {
            Self::Type => {
                let (vi, en) = match cell.element.value_type {
                    ValueType::Count | ValueType::Signed => ("một số nguyên", "an integer"),
                    ValueType::Decimal(_) => {
                        ("một số thập phân, viết với dấu chấm: 92.3", "a decimal number, written with a point: 92.3")
                    }
                    ValueType::Flag => ("có hoặc không (flag)", "a flag, true or false"),
                    ValueType::Date => ("một ngày, viết 2022-06-01", "a day, written 2022-06-01"),
                    ValueType::Text => ("văn bản (text)", "text"),
                };
                (Reason::ValueTypeWrong, format!("Ô “{cell}” ({name}) phải là {vi}."), format!("{cell} takes {en}"))
            }
            Self::Negative => (
                Reason::ValueOutOfRange,
                format!("Ô “{cell}” ({name}) không được âm."),
                format!("{cell} may not be negative"),
            ),
            Self::Decimals => {
                let places = cell.element.value_type.decimals();
                (
                    Reason::ValueOutOfRange,
                    format!("Ô “{cell}” ({name}) có tối đa {places} chữ số thập phân."),
                    format!("{cell} has at most {places} decimals"),
                )
            }
            Self::TooLarge => (
                Reason::ValueOutOfRange,
                format!(
                    "Ô “{cell}” ({name}) quá lớn: tối đa {} sau khi bỏ dấu thập phân.",
                    VIETNAMESE.write(CELL_LIMIT, 0)
                ),
                format!("{cell} is too large: at most {} without its decimal point", ENGLISH.write(CELL_LIMIT, 0)),
            ),
            Self::Day => (
                Reason::ValueOutOfRange,
                format!(
                    "Ô “{cell}” ({name}) phải là một ngày từ năm {FIRST_YEAR} đến ngày gửi ({}).",
                    super::day_vi(today)
                ),
                format!("{cell} must be a day from {FIRST_YEAR} to the day it is sent, {today}"),
            ),
            Self::Words(WordsError::TooLong) => (
                Reason::TextTooLong,
                format!("Ô “{cell}” ({name}) dài quá {} ký tự; hãy viết ngắn lại.", words::MOST_CHARACTERS),
                format!("{cell} has more than {} characters; shorten it", words::MOST_CHARACTERS),
            ),
            Self::Words(WordsError::Control) => (
                Reason::TextMalformed,
                format!(
                    "Ô “{cell}” ({name}) có ký tự điều khiển (ví dụ dấu tab); chỉ được dùng chữ và dấu xuống dòng."
                ),
                format!("{cell} has control characters such as tabs; only letters and ends of lines may be there"),
            ),
            Self::Words(WordsError::Personal(personal)) => (
                Reason::TextPersonalData,
                format!(
                    "Ô “{cell}” ({name}) có chỗ giống {}; không được gửi thông tin cá nhân, hãy xóa đi. Nếu đó là số liệu, hãy viết có dấu chấm, ví dụ 154.840.409.",
                    personal.name_vi()
                ),
                format!(
                    "{cell} holds what looks like {personal}; personal data may not be sent, take it out. A figure is written with dots: 154.840.409"
                ),
            ),
        };
        violations.error(reason, format!("values[{place}]"), vi, en);
    }
}

/// `92.3` with one place is 923. Digits, at most one point, a leading minus: nothing else is a number.
fn scaled(text: &str, places: u8) -> Result<i64, Refused> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) || digits.ends_with('.') {
        return Err(Refused::Type);
    }
    let places = usize::from(places);
    if decimals.len() > places {
        return Err(Refused::Decimals);
    }
    let zeros = std::iter::repeat_n(b'0', places - decimals.len());
    let number = whole
        .bytes()
        .chain(decimals.bytes())
        .chain(zeros)
        .try_fold(0_i64, |number, digit| number.checked_mul(10)?.checked_add(i64::from(digit - b'0')));
    let number = number.ok_or(Refused::TooLarge)?;
    Ok(if negative { -number } else { number })
}

/// `2022-06-01`: four digits, two, and two, and such a day.
fn day(text: &str) -> Option<Date> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_u16, |number, digit| match digit {
            b'0'..=b'9' => Some(number * 10 + u16::from(digit - b'0')),
            _ => None,
        })
    };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()
}
