//! Reading what a report says, cell by cell.

use std::fmt;

use time::{Date, Month};

use crate::{
    CELL_LIMIT, Catalogue, Content, Layout, Note, Reason, UnitIx, Values, Vintage, Violations,
    catalogue::{Cell, DataSet, ValueType},
    draft::{Dense, Draft, DraftValue, Given},
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
            if !draft.values.is_empty() || draft.dense.is_some() {
                violations.error(
                    Reason::WithdrawalWithValues,
                    if draft.values.is_empty() { "dense" } else { "values" },
                    "Báo cáo rút lại không được kèm số liệu.",
                    "a withdrawal carries no values; leave them out, or leave out `withdrawn`",
                );
            }
            return Content::Withdrawn;
        }
        let count = draft.values.len() + draft.dense.map_or(0, |dense| dense.values.len());
        if count == 0 {
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
        // A cell is given once, also where what is first given for it is wrong.
        let mut is_given = vec![false; cells.len()];
        if let Some(dense) = &draft.dense {
            self.read_dense(dense, &mut numbers, &mut is_given, violations);
        }
        let mut blank = 0;
        for (place, given) in draft.values.iter().enumerate() {
            let Some(at) = find_cell(data_set, place, given) else {
                refuse_unknown(data_set, place, given, violations);
                continue;
            };
            let (cell, place) = (&cells[at], Place::Named(place));
            if std::mem::replace(&mut is_given[at], true) {
                violations.error(
                    Reason::CellRepeated,
                    place.to_string(),
                    format!("Ô “{cell}” ({}) có nhiều hơn một giá trị.", cell.element.name_vi),
                    format!("{cell} is given more than once"),
                );
                continue;
            }
            if self.refuse_other_level(cell, place, violations) {
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
        if blank > 0 && blank == count {
            refuse_empty(violations);
        }
        // In the form's order, whatever the sender's: the same words are the same content.
        notes.sort_by_key(|note| note.cell);
        Content::Values(Values::with_notes(numbers, notes))
    }

    /// Reads values that are packed in the order of the form's cells, and takes note of the cells that are given.
    fn read_dense(
        &self,
        dense: &Dense<'_>,
        numbers: &mut [Option<i64>],
        is_given: &mut [bool],
        violations: &mut Violations,
    ) {
        let Some(cells) = self.cells_of(dense.catalogue_version) else {
            self.refuse_catalogue(dense.catalogue_version, violations);
            return;
        };
        if refuse_malformed(self.data_set, cells, dense, violations) {
            return;
        }
        let cells = self.data_set.cells().iter().enumerate();
        let present = cells.filter(|(at, _)| dense.present.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 != 0));
        for ((at, cell), (place, number)) in present.zip(dense.values.iter().enumerate()) {
            is_given[at] = true;
            let place = Place::Dense(place);
            if self.refuse_other_level(cell, place, violations) {
                continue;
            }
            match self.unpack(cell, *number) {
                Ok(number) => numbers[at] = Some(number),
                Err(refused) => refused.tell(cell, place, self.today, violations),
            }
        }
    }

    /// How many of the form's first cells are meant by a layout, or by the version of the catalogue in use.
    fn cells_of(&self, catalogue_version: &str) -> Option<usize> {
        match Layout::read(catalogue_version) {
            Some(layout) => self.data_set.cells_of(layout),
            None => (catalogue_version == self.catalogue.version().as_str()).then_some(self.data_set.cells().len()),
        }
    }

    fn refuse_catalogue(&self, version: &str, violations: &mut Violations) {
        let (version, data_set) = (shown(version), self.data_set);
        let (in_use, layout) = (self.catalogue.version(), data_set.layout());
        violations.error(
            Reason::CatalogueUnknown,
            "dense.catalogue_version",
            format!(
                "Không biết danh mục “{version}” để đọc số liệu dạng gọn của biểu mẫu “{}”. Danh mục đang dùng là {in_use}, bố cục ô là {layout}; hãy đọc lại danh mục, hoặc gửi số liệu kèm tên ô.",
                data_set.name_vi()
            ),
            format!(
                "`{version}` is no catalogue by which values of `{}` are known to be packed; in use is {in_use}, with the layout {layout}: read it anew, or send the values by name",
                data_set.code()
            ),
        );
    }

    /// Refuses a value for a cell that units of the sender's level do not fill; whether it did.
    fn refuse_other_level(&self, cell: &Cell, place: Place, violations: &mut Violations) -> bool {
        let Some(unit) = self.unit.filter(|unit| !self.catalogue.fills(cell, self.vintage, *unit)) else {
            return false;
        };
        let level = self.catalogue.level(self.vintage.unit(unit).level);
        violations.error(
            Reason::CellNotForLevel,
            place.to_string(),
            format!("Đơn vị thuộc {} không báo cáo ô “{cell}” ({}).", level.in_sentence_vi(), cell.element.name_vi),
            format!("a {} does not report {cell}", level.code),
        );
        true
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
            (ValueType::Date, Given::Date(text)) => return self.read_day(day(text)).map(Kept::Number),
            (ValueType::Text, Given::Text(text)) => {
                let text = words::read(text).map_err(Refused::Words)?;
                return Ok(if text.is_empty() { Kept::Nothing } else { Kept::Words(text) });
            }
            _ => return Err(Refused::Type),
        };
        within_limits(value_type, number).map(Kept::Number)
    }

    /// A packed value as its cell keeps it.
    fn unpack(&self, cell: &Cell, number: i64) -> Result<i64, Refused> {
        match cell.element.value_type {
            ValueType::Flag if matches!(number, 0 | 1) => Ok(number),
            ValueType::Flag | ValueType::Text => Err(Refused::Type),
            ValueType::Date => self.read_day(packed_day(number)),
            value_type => within_limits(value_type, number),
        }
    }

    /// 1 June 2022 is 20220601.
    fn read_day(&self, day: Option<Date>) -> Result<i64, Refused> {
        let day = day.ok_or(Refused::Type)?;
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

/// Where a value stands in a report.
#[derive(Clone, Copy)]
enum Place {
    /// Among those that are given by name.
    Named(usize),
    /// Among those that are packed.
    Dense(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(place) => write!(f, "values[{place}]"),
            Self::Dense(place) => write!(f, "dense.values[{place}]"),
        }
    }
}

fn within_limits(value_type: ValueType, number: i64) -> Result<i64, Refused> {
    if number < 0 && value_type != ValueType::Signed {
        return Err(Refused::Negative);
    }
    if number.unsigned_abs() > CELL_LIMIT.unsigned_abs() {
        return Err(Refused::TooLarge);
    }
    Ok(number)
}

fn refuse_empty(violations: &mut Violations) {
    violations.error(
        Reason::ValuesMissing,
        "values",
        "Báo cáo không có số liệu nào; nếu muốn rút báo cáo, hãy đặt withdrawn.",
        "there is no value; to take a report back set `withdrawn`",
    );
}

/// Refuses packed values of which it cannot be told which cell each is for; whether it did.
fn refuse_malformed(data_set: &DataSet, cells: usize, dense: &Dense<'_>, violations: &mut Violations) -> bool {
    let Dense { catalogue_version: _, present, values } = dense;
    let bytes = cells.div_ceil(8);
    let marked: usize = present.iter().map(|byte| byte.count_ones() as usize).sum();
    let (field, vi, en) = if present.len() != bytes {
        (
            "dense.present",
            format!(
                "Bố cục của biểu mẫu “{}” có {cells} ô, mỗi ô một bit: present phải dài {bytes} byte, ở đây là {} byte.",
                data_set.name_vi(),
                present.len()
            ),
            format!(
                "the layout of `{}` has {cells} cells, with a bit for each: `present` takes {bytes} bytes, there are {}",
                data_set.code(),
                present.len()
            ),
        )
    } else if present.last().is_some_and(|byte| (byte.leading_zeros() as usize) < 8 * bytes - cells) {
        (
            "dense.present",
            format!("present đánh dấu ô không có: bố cục của biểu mẫu “{}” chỉ có {cells} ô.", data_set.name_vi()),
            format!("`present` marks cells past the last: the layout of `{}` has {cells}", data_set.code()),
        )
    } else if marked != values.len() {
        (
            "dense.values",
            format!("present đánh dấu {marked} ô, nhưng dense có {} số liệu.", values.len()),
            format!("`present` marks {marked} cells, and there are {} values", values.len()),
        )
    } else {
        return false;
    };
    violations.error(Reason::DenseMalformed, field, vi, en);
    true
}

fn refuse_unknown(data_set: &DataSet, place: usize, given: &DraftValue<'_>, violations: &mut Violations) {
    let name = if given.option.is_empty() {
        shown(given.element)
    } else {
        format!("{}[{}]", shown(given.element), shown(given.option))
    };
    let (vi, en) = match data_set.cells().iter().find(|cell| cell.element.code.as_str() == given.element) {
        Some(cell) if given.option.is_empty() => (
            format!(", vì số liệu này chia theo nhóm: hãy nêu nhóm, ví dụ {cell}"),
            format!(": it is given by option, such as {cell}"),
        ),
        Some(cell) => (format!("; có ô {cell}"), format!("; there is {cell}")),
        None => Default::default(),
    };
    violations.error(
        Reason::CellUnknown,
        format!("values[{place}]"),
        format!("Biểu mẫu “{}” không có ô số liệu {name}{vi}.", data_set.name_vi()),
        format!("`{}` has no cell {name}{en}", data_set.code()),
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
    fn tell(&self, cell: &Cell, place: Place, today: Date, violations: &mut Violations) {
        let name = &cell.element.name_vi;
        let (reason, vi, en) = match self {
            Self::Type => {
                let (vi, en) = match (cell.element.value_type, place) {
                    (ValueType::Count | ValueType::Signed, _) => ("một số nguyên", "an integer"),
                    (ValueType::Decimal(_), _) => {
                        ("một số, có thể có phần thập phân (decimal)", "a number, which may have decimals")
                    }
                    (ValueType::Flag, Place::Named(_)) => ("có hoặc không (flag)", "a flag, true or false"),
                    (ValueType::Flag, Place::Dense(_)) => ("1 (có) hoặc 0 (không)", "1 for yes or 0 for no"),
                    (ValueType::Date, Place::Named(_)) => ("một ngày, viết 2022-06-01", "a day, written 2022-06-01"),
                    (ValueType::Date, Place::Dense(_)) => ("một ngày, viết 20220601", "a day, written 20220601"),
                    (ValueType::Text, Place::Named(_)) => ("văn bản (text)", "text"),
                    (ValueType::Text, Place::Dense(_)) => {
                        ("văn bản, gửi kèm tên ô trong values", "text, which is given by name in `values`")
                    }
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
        violations.error(reason, place.to_string(), vi, en);
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
        digits.iter().try_fold(0_u32, |number, digit| match digit {
            b'0'..=b'9' => Some(number * 10 + u32::from(digit - b'0')),
            _ => None,
        })
    };
    date(number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?)
}

/// 20220601, and such a day.
fn packed_day(number: i64) -> Option<Date> {
    let number = u32::try_from(number).ok()?;
    date(number / 10_000, number / 100 % 100, number % 100)
}

fn date(year: u32, month: u32, day: u32) -> Option<Date> {
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
}
