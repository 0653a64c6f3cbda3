//! Words: what cells that take words may hold, and what may not enter at all.
//!
//! No citizen's personal data enters the system. Reports hold totals, so a number that looks like a person's is most likely
//! one: it is refused, and its sender is told how to write it if it is a figure after all. What counts as which is decided
//! here, once:
//!
//! | written | taken for | because |
//! |---|---|---|
//! | 12 or 9 digits in a row | an ID number | the numbers of the citizen's card and of the identity card before it have 12 and 9 digits |
//! | `079 123 456 789`, `079-123-456-789`, `123 456 789` | an ID number | so people group them; Vietnam groups figures with dots alone |
//! | `079.123.456.789`, `0790 8512 3456`, `079 0 85 123456` | an ID number | all 12-digit ones begin with 0, the province's code; no figure does |
//! | `154.840.409`, `12.500.000.000`, `154,840,409` | a figure | threes with dots or commas and no 0 in front: how the news writes counts and sums. An old 9-digit ID number written like that passes |
//! | `0912345678`, `0912.345.678`, `(024) 3825 1234`, `09 12 34 56 78` | a telephone number | 0 and 9 or 10 more digits, however they are grouped |
//! | `+84 912 345 678`, `+84.912.345.678`, `0084912345678` | a telephone number | the same with the country's code |
//! | `a.b@ubnd.gov.vn` | an e-mail address | |
//! | `09/06/2023`, `09.06.2023 15.30`, `09/2019/NĐ-CP`, `2021-2025` | a date, a decree, years | a slash ends a number, and a date is known by its year |
//! | `109, 225, 547` | three figures | a comma and a space part them |
//!
//! Digits of other scripts count as digits, and characters that nobody sees do not part them. It is meant for what people
//! write without thinking of it: whoever wants to hide a number in words can.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark, is_nfc};

/// The longest text of a cell, in characters after normalisation.
pub const MOST_CHARACTERS: usize = 4_000;

/// A longer one is not even normalised: four letters with all their accents as characters of their own would fit for each
/// character that is left.
const MOST_BYTES: usize = MOST_CHARACTERS * 16;

/// Why a text may not be in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// More than [`MOST_CHARACTERS`].
    #[error("longer than {MOST_CHARACTERS} characters")]
    TooLong,
    /// Control characters other than the end of a line, or characters that turn the order of others around.
    #[error("control characters")]
    Control,
    /// Personal data.
    #[error("what looks like {0}")]
    Personal(Personal),
}

/// What personal data looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personal {
    /// The number of an identity card.
    CitizenId,
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
}

impl Personal {
    /// What it is, in Vietnamese.
    #[must_use]
    pub const fn name_vi(self) -> &'static str {
        match self {
            Self::CitizenId => "số căn cước hoặc số chứng minh nhân dân",
            Self::Phone => "số điện thoại",
            Self::Email => "địa chỉ thư điện tử",
        }
    }
}

impl std::fmt::Display for Personal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CitizenId => "a citizen's ID number",
            Self::Phone => "a telephone number",
            Self::Email => "an e-mail address",
        })
    }
}

/// Reads a text as it is kept: in Unicode's normal form C, lines ending in `\n`, without space around it. Takes time in
/// proportion to the text, and none worth speaking of for one that is much too long.
///
/// # Errors
/// When it is too long, has control characters, or looks like personal data.
pub fn read(text: &str) -> Result<Box<str>, WordsError> {
    if text.len() > MOST_BYTES {
        return Err(WordsError::TooLong);
    }
    let text = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let text = if is_nfc(&text) { text } else { Cow::Owned(text.nfc().collect()) };
    let text = text.trim();
    if text.chars().count() > MOST_CHARACTERS {
        return Err(WordsError::TooLong);
    }
    if text.chars().any(is_unfit) {
        return Err(WordsError::Control);
    }
    match personal_data(text) {
        Some(personal) => Err(WordsError::Personal(personal)),
        None => Ok(text.into()),
    }
}

/// Control characters but the end of a line; other ends of lines; and what turns the order of characters around, so that a
/// text would be shown as it is not.
fn is_unfit(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first thing in a text that looks like personal data.
#[must_use]
pub fn personal_data(text: &str) -> Option<Personal> {
    let numbers = Numbers::of(text);
    numbers.personal().or_else(|| has_email(text).then_some(Personal::Email))
}

/// A sender's text as it is shown back: bounded, without control characters, and not at all where it looks like personal
/// data.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 40;
    // What stands at the bound is looked at as a whole before it is cut.
    let mut shown: String = text.chars().filter(|c| !is_unfit(*c) && *c != '\n').take(2 * LIMIT).collect();
    if personal_data(&shown).is_some() {
        return "•••".to_owned();
    }
    if let Some((end, _)) = shown.char_indices().nth(LIMIT) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// What stands between two groups of digits that may be one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Space,
    Dot,
    Dash,
}

#[derive(Clone, Copy, Debug)]
struct Joint {
    mark: Mark,
    /// With space in it: somebody may have begun something new.
    wide: bool,
}

/// Digits in a row.
#[derive(Clone, Copy, Debug)]
struct Group {
    start: usize,
    length: usize,
    /// A plus stands right before it.
    plus: bool,
    /// What joins it with the group before; nothing where a number begins.
    joint: Option<Joint>,
}

/// All digits of a text, in groups.
#[derive(Debug, Default)]
struct Numbers {
    digits: Vec<u8>,
    groups: Vec<Group>,
}

/// What was seen since the last digit.
#[derive(Clone, Copy, Debug)]
enum Gap {
    /// Something that parts numbers.
    Parted,
    /// Something that may stand within one.
    Between { mark: Mark, wide: bool, length: u8 },
}

impl Gap {
    const NONE: Self = Self::Between { mark: Mark::Space, wide: false, length: 0 };
    /// More characters than that are not written within a number: ` - ` and `) ` are.
    const LONGEST: u8 = 3;

    fn with(self, c: char) -> Self {
        let Self::Between { mark, wide, length } = self else { return Self::Parted };
        if length == Self::LONGEST {
            return Self::Parted;
        }
        let (mark, wide) = match c {
            // A dot with space beside it ends a sentence.
            '.' | '·' | '\u{2024}' | '\u{ff0e}' if mark == Mark::Space && !wide => (Mark::Dot, false),
            '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' if mark == Mark::Space => (Mark::Dash, wide),
            '\n' => return Self::Parted,
            c if (c.is_whitespace() || matches!(c, '(' | ')')) && mark != Mark::Dot => (mark, true),
            _ => return Self::Parted,
        };
        Self::Between { mark, wide, length: length + 1 }
    }
}

impl Numbers {
    fn of(text: &str) -> Self {
        let mut numbers = Self::default();
        let mut gap = Gap::Parted;
        let (mut within, mut plus) = (false, false);
        for c in text.chars() {
            if is_unseen(c) {
                continue;
            }
            let before = numbers.digits.len();
            push_digits(c, &mut numbers.digits);
            let found = numbers.digits.len() - before;
            if found == 0 {
                gap = if within { Gap::NONE.with(c) } else { gap.with(c) };
                within = false;
                plus = matches!(c, '+' | '\u{ff0b}');
                continue;
            }
            match numbers.groups.last_mut() {
                Some(group) if within => group.length += found,
                _ => {
                    let joint = match gap {
                        Gap::Between { mark, wide, length: 1.. } => Some(Joint { mark, wide }),
                        Gap::Between { .. } | Gap::Parted => None,
                    };
                    numbers.groups.push(Group { start: before, length: found, plus, joint });
                }
            }
            (within, plus) = (true, false);
        }
        numbers
    }

    fn personal(&self) -> Option<Personal> {
        (0..self.groups.len()).find_map(|first| self.personal_from(first))
    }

    /// Whether a number that begins with a group is personal.
    fn personal_from(&self, first: usize) -> Option<Personal> {
        if matches!(self.groups[first].length, 9 | 12) {
            return Some(Personal::CitizenId);
        }
        if self.is_phone(first, first) {
            return Some(Personal::Phone);
        }
        // The middle of `12.079.123` begins nothing.
        if self.groups[first].joint.is_some_and(|joint| !joint.wide) {
            return None;
        }
        let mut length = self.groups[first].length;
        for last in first + 1..self.groups.len() {
            length += self.groups[last].length;
            if self.groups[last].joint.is_none() || length > Self::LONGEST {
                return None;
            }
            // Nor does anything end within `079.123.4`.
            let goes_on = |next: &Group| next.joint.is_some_and(|joint| !joint.wide);
            if self.groups.get(last + 1).is_some_and(goes_on) {
                continue;
            }
            if self.is_phone(first, last) {
                return Some(Personal::Phone);
            }
            if self.is_citizen_id(first, last) {
                return Some(Personal::CitizenId);
            }
        }
        None
    }

    /// The most digits of a telephone number: `0084` and ten more.
    const LONGEST: usize = 14;

    fn digits(&self, first: usize, last: usize) -> &[u8] {
        let (first, last) = (self.groups[first], self.groups[last]);
        &self.digits[first.start..last.start + last.length]
    }

    /// Groups as people write ID numbers, with one mark throughout.
    fn is_citizen_id(&self, first: usize, last: usize) -> bool {
        let groups = &self.groups[first..=last];
        let mut marks = groups[1..].iter().filter_map(|group| group.joint).map(|joint| joint.mark);
        let Some(mark) = marks.next() else { return false };
        if !marks.all(|other| other == mark) {
            return false;
        }
        let begins_with_zero = self.digits(first, last).first() == Some(&0);
        let lengths: Vec<usize> = groups.iter().map(|group| group.length).collect();
        match lengths[..] {
            // Threes with dots are a figure, unless they begin with a zero.
            [3, 3, 3] | [3, 3, 3, 3] => mark != Mark::Dot || begins_with_zero,
            // Three years are no ID number: `2021 2022 2023`.
            [4, 4, 4] | [6, 6] | [3, 9] | [3, 3, 6] | [3, 1, 2, 6] => begins_with_zero,
            _ => false,
        }
    }

    /// 0 and 9 or 10 digits, or the country's code in the zero's place.
    fn is_phone(&self, first: usize, last: usize) -> bool {
        let number = match self.digits(first, last) {
            [8, 4, 0, rest @ ..] | [8, 4, rest @ ..] if self.groups[first].plus => rest,
            [0, 0, 8, 4, rest @ ..] => rest,
            [0, rest @ ..] if rest.first().is_some_and(|digit| *digit != 0) => {
                // A single 0 is a figure of its own.
                if last > first && (self.groups[first].length < 2 || self.is_date(first, last)) {
                    return false;
                }
                rest
            }
            _ => return false,
        };
        matches!(number.len(), 9 | 10)
    }

    /// Whether groups begin with a day and a year, or a month and a year.
    fn is_date(&self, first: usize, last: usize) -> bool {
        let is_year = |at: usize| {
            at <= last && self.groups[at].length == 4 && matches!(self.digits(at, at), [1, 9, ..] | [2, 0, ..])
        };
        let is_short = |at: usize| at <= last && self.groups[at].length <= 2;
        is_short(first) && (is_year(first + 1) || (is_short(first + 1) && is_year(first + 2)))
    }
}

/// A name, an `@` and a domain with a dot in it.
fn has_email(text: &str) -> bool {
    let mut before = None;
    let mut rest = text.chars().filter(|c| !is_unseen(*c));
    while let Some(c) = rest.next() {
        if is_at(c) && before.is_some_and(|c: char| c.is_alphanumeric() || "._%+-".contains(c)) {
            // No `@` is in a domain: everything is looked at twice at most.
            let domain: String = rest.clone().take_while(|c| c.is_alphanumeric() || "-.".contains(*c)).collect();
            let ends_well = |(name, top): (&str, &str)| {
                !name.is_empty() && top.chars().count() >= 2 && top.chars().all(char::is_alphabetic)
            };
            if domain.trim_end_matches(['.', '-']).rsplit_once('.').is_some_and(ends_well) {
                return true;
            }
        }
        before = Some(c);
    }
    false
}

fn is_at(c: char) -> bool {
    matches!(c, '@' | '\u{ff20}' | '\u{fe6b}')
}

/// Characters that take no room of their own, so that digits on both sides are seen in a row.
fn is_unseen(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    invisible || (!c.is_ascii() && is_combining_mark(c))
}

/// The digits that a character shows: one for a digit of any script, several for one such as ⑫, none for a letter.
fn push_digits(c: char, digits: &mut Vec<u8>) {
    if c.is_ascii() {
        if c.is_ascii_digit() {
            digits.push(c as u8 - b'0');
        }
    } else if c.is_numeric() {
        let code = u32::from(c);
        let zero = ZEROS[..ZEROS.partition_point(|zero| *zero <= code)].last();
        match zero.map(|zero| code - zero).and_then(|value| u8::try_from(value).ok()).filter(|value| *value < 10) {
            Some(value) => digits.push(value),
            None => unicode_normalization::char::decompose_compatible(c, |part| {
                if part.is_ascii_digit() {
                    digits.push(part as u8 - b'0');
                }
            }),
        }
    }
}

/// The zeros of Unicode's decimal digits (general category Nd); the nine that follow each are one to nine.
const ZEROS: [u32; 65] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_dates_and_names_of_documents_pass() {
        for text in [
            "",
            "1.205.627",
            "1205627",
            "154.840.409 hồ sơ",
            "154,840,409",
            "12.500.000.000 đồng",
            "tổng kinh phí 1.012.500.000.000 đồng",
            "123.456.789.012",
            "đạt 92,3% so với 1.306.128 công dân",
            "09/06/2023",
            "từ 15/12/2021 đến 14/11/2022",
            "09-06-2023",
            "09.06.2023",
            "lúc 09.06.2023 15.30",
            "09-06-2023 15h30",
            "01.01.2022-31.12.2022",
            "01.01.2022 - 31.12.2022",
            "05.06.2022-15.06.2022",
            "2022-11-07 16:00:05",
            "2022-11-07 16.30",
            "tháng 09 2022 1205 hồ sơ",
            "09/2019/NĐ-CP",
            "06/QĐ-TTg ngày 06/01/2022",
            "Quyết định số 06/QĐ-TTg, 422/QĐ-TTg; Chỉ thị 24/CT-TTg",
            "Công văn 1234567/UBND-VX",
            "hồ sơ 000.00.10.H56-220622-0012",
            "giai đoạn 2021-2025, tầm nhìn 2030",
            "các năm 2021 2022 2023",
            "109/109 cấp xã, 778/778 khóm, ấp",
            "109, 225, 547 và 778",
            "109\n225\n547\n778",
            "đơn vị 94, 941, 31498",
            "tổng đài 1900 1234, 1800 599 920, 113",
            "tăng +84.912 hồ sơ, +84.912.345",
            "giảm -12.500",
            "0 và 123 456",
            "0,5 % và 0.123",
            "84912345678",
            "12 tổ, 34 ấp, 56 khóm, 78 hộ, 90 điểm",
            "gửi @ubnd lúc 8h, giá 5@3.000đ",
            "a@b",
            "ubnd.soctrang.gov.vn",
            "Thiếu 02 máy 😀 ở ấp Đắk R'lấp",
        ] {
            assert_eq!(personal_data(text), None, "{text:?}");
            assert_eq!(read(text).as_deref(), Ok(text), "{text:?}");
        }
    }

    #[test]
    fn what_looks_like_a_person_s_is_found() {
        for text in [
            "079123456789",
            "số 079123456789.",
            "x079123456789y",
            "120500000000",
            "123456789",
            "CMND: 012345678;",
            "079 123 456 789",
            "079  123  456  789",
            "079-123-456-789",
            "079 - 123 - 456 - 789",
            "079.123.456.789",
            "079_123_456_789",
            "079–123–456–789",
            "079\u{a0}123\u{a0}456\u{a0}789",
            "0790 8512 3456",
            "079085 123456",
            "079 085123456",
            "079 0 85 123456",
            "079.0.85.123456",
            "123 456 789",
            "123-456-789",
            "012.345.678",
            "123 456 789 012",
            "năm 2022 079 123 456 789",
            "2022 - 079 123 456 789",
            "079123456789\n",
            "０７９１２３４５６７８９",
            "٠٧٩١٢٣٤٥٦٧٨٩",
            "០៧៩១២៣៤៥៦៧៨៩",
            "𝟎𝟕𝟗𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
            "⁰⁷⁹¹²³⁴⁵⁶⁷⁸⁹",
            "0⑦9①②③④⑤⑥⑦⑧⑨",
            "079\u{200b}123\u{200b}456\u{200b}789",
            "0\u{fe0f}\u{20e3}79123456789",
        ] {
            assert_eq!(personal_data(text), Some(Personal::CitizenId), "{text:?}");
        }
        for text in [
            "0912345678",
            "sđt:0912345678",
            "0912.345.678",
            "0912 345 678",
            "0912-345-678",
            "091.234.5678",
            "09 1234 5678",
            "09 12 34 56 78",
            "0912 34 56 78",
            "liên hệ 2 0912 345 678",
            "liên hệ - 0912 345 678",
            "năm 2022 - 0912.345.678",
            "02838251234",
            "(028) 3825 1234",
            "(028)38251234",
            "0299 3.822.123",
            "01234567890",
            "+84912345678",
            "+84 912 345 678",
            "(+84) 912 345 678",
            "+84.912.345.678",
            "+84-912-345-678",
            "+84 (0) 912 345 678",
            "+84 28 3825 1234",
            "0084912345678",
            "0084 912 345 678",
            "０９１２３４５６７８",
        ] {
            assert_eq!(personal_data(text), Some(Personal::Phone), "{text:?}");
        }
        for text in [
            "a@b.vn",
            "Gửi về nguyen.van-a+1@ubnd.soctrang.gov.vn.",
            "a＠b.vn",
            "<x_y@mail.com>",
            "ơ@thư.việt",
            "a@b@c.com",
            "a@\u{200b}b.com",
        ] {
            assert_eq!(personal_data(text), Some(Personal::Email), "{text:?}");
        }
    }

    /// One digit fewer or more than an ID or a telephone number is no such number.
    #[test]
    fn the_number_of_digits_decides() {
        for length in 1..=20 {
            let of = |first: &str| personal_data(&(first.to_owned() + &"1".repeat(length - 1)));
            let citizen = matches!(length, 9 | 12).then_some(Personal::CitizenId);
            assert_eq!(of("1"), citizen, "{length} digits");
            let phone = matches!(length, 10 | 11).then_some(Personal::Phone);
            assert_eq!(of("0"), citizen.or(phone), "{length} digits from 0");
        }
    }

    #[test]
    fn words_are_kept_in_one_form() {
        let decomposed =
            "  Thie\u{302}\u{301}u ma\u{301}y\r\nke\u{302}\u{301}t no\u{302}\u{301}i cha\u{323}\u{302}m \n";
        assert_eq!(read(decomposed).as_deref(), Ok("Thiếu máy\nkết nối chậm"));
        assert_eq!(read(" \n ").as_deref(), Ok(""));
        for unfit in ["a\0b", "a\tb", "a\rb", "a\u{1b}[31mb", "a\u{85}b", "a\u{2028}b", "a\u{202e}b", "a\u{2066}b"] {
            assert_eq!(read(unfit), Err(WordsError::Control), "{unfit:?}");
        }
    }

    #[test]
    fn the_limit_counts_characters_as_they_are_kept() {
        let composed = "ệ".repeat(MOST_CHARACTERS);
        let decomposed = "e\u{323}\u{302}".repeat(MOST_CHARACTERS);
        assert_eq!(read(&composed).as_deref(), Ok(composed.as_str()));
        assert_eq!(read(&decomposed).as_deref(), Ok(composed.as_str()));
        assert_eq!(read(&format!(" {composed}\n")).as_deref(), Ok(composed.as_str()), "without the space around it");
        assert_eq!(read(&(composed + "e")), Err(WordsError::TooLong));
        assert_eq!(read(&(decomposed + "e")), Err(WordsError::TooLong));
        assert_eq!(read(&"😀".repeat(MOST_CHARACTERS)).map(|text| text.chars().count()), Ok(MOST_CHARACTERS));
        assert_eq!(read(&"\0".repeat(10_000_000)), Err(WordsError::TooLong), "refused before it is looked at");
    }

    #[test]
    fn what_is_shown_back_is_bounded_and_tells_nothing_of_a_person() {
        assert_eq!(shown("rec_total"), "rec_total");
        assert_eq!(shown("a\0b\nc\u{202e}d"), "abcd");
        assert_eq!(shown(&"ạ".repeat(1_000_000)), "ạ".repeat(40) + "…");
        assert_eq!(shown(&"ạ".repeat(40)), "ạ".repeat(40));
        for text in ["079123456789", "0912.345.678", "a@b.vn", &("x".repeat(35) + "079123456789")] {
            assert_eq!(shown(text), "•••", "{text}");
        }
    }
}
