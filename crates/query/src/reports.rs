//! Lists of reports: which units are looked at, and what of them is on a page.

use domain::{Catalogue, UnitIx};
use proto::pb::query::v1 as pb;
use store::{ReportFilter, Standing};

use crate::{answer, question::Question, refused::Refused};

/// The most units that one page looks at, whatever the filter lets through.
pub(crate) const LOOKED_AT: usize = 2_000;

/// A page ends once it has so many bytes: many clients take 4 MiB at most, and a report with words and warnings may be large.
const ENOUGH_BYTES: usize = 2 << 20;

/// The filter that the caller named.
pub(crate) fn filter(asked: i32) -> Result<ReportFilter, Refused> {
    let asked = pb::ReportFilter::try_from(asked).map_err(|_| Refused::Filter(asked))?;
    Ok(match asked {
        pb::ReportFilter::Unspecified | pb::ReportFilter::All => ReportFilter::All,
        pb::ReportFilter::WithWarnings => ReportFilter::WithWarnings,
        pb::ReportFilter::WithNotes => ReportFilter::WithNotes,
        pb::ReportFilter::Late => ReportFilter::Late,
        pb::ReportFilter::NotReported => ReportFilter::NotReported,
    })
}

/// The units at and below the one asked about that report the data set, by code.
pub(crate) fn reporting(catalogue: &Catalogue, question: Question) -> Vec<UnitIx> {
    let (data_set, vintage) = (question.data_set(catalogue), question.vintage(catalogue));
    let below = vintage.subtree(question.unit);
    let mut units: Vec<_> = below.filter(|unit| catalogue.reports(data_set, vintage, *unit)).collect();
    units.sort_unstable(); // the places of a tree's units are by code
    units
}

/// The page of what was found among the units that were looked at, `asked` at most; and how many of these units are done with
/// it.
pub(crate) fn page(
    catalogue: &Catalogue,
    question: Question,
    looked_at: &[UnitIx],
    found: Vec<(usize, Option<Standing>)>,
    asked: usize,
) -> (Vec<pb::UnitReport>, usize) {
    let (mut reports, mut bytes) = (Vec::with_capacity(found.len()), 0);
    for (place, standing) in found {
        let report = answer::report(catalogue, Question { unit: looked_at[place], ..question }, standing);
        bytes += proto::encoded_len(&report);
        reports.push(report);
        if reports.len() >= asked || bytes >= ENOUGH_BYTES {
            return (reports, place + 1);
        }
    }
    (reports, looked_at.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{question::Asked, tiny};
    use domain::{Note, Revision, Timestamp, Values, Violations};

    fn standing(words: usize) -> Standing {
        let mut numbers = vec![None; tiny::CELLS];
        numbers[tiny::NOTE] = Some(0);
        Standing {
            revision: Revision::new(1).unwrap(),
            received_at: Timestamp::from_unix_micros(0),
            on_time: true,
            values: Some(Values::with_notes(numbers, vec![Note { cell: tiny::NOTE, text: "a".repeat(words).into() }])),
            warnings: Violations::default(),
        }
    }

    fn codes(reports: &[pb::UnitReport]) -> Vec<&str> {
        reports.iter().map(|report| report.org_unit.as_ref().unwrap().code.as_str()).collect()
    }

    #[test]
    fn who_reports_is_listed_by_code() {
        let catalogue = tiny::catalogue();
        let of = |org_unit, data_set| {
            let asked = Asked { org_unit, data_set, period: "202211" };
            let question = Question::of_reports(&catalogue, asked).unwrap();
            let unit = |unit: &UnitIx| question.vintage(&catalogue).unit(*unit).code.to_string();
            reporting(&catalogue, question).iter().map(unit).collect::<Vec<_>>()
        };
        assert_eq!(of("VN", "identity"), ["00001", "00002", "00003", "00004", "012"], "the island stands in");
        assert_eq!(of("01", "organisation"), ["00001", "00002", "01", "012"]);
        assert_eq!(of("00003", "identity"), ["00003"]);
    }

    #[test]
    fn a_page_ends_with_what_was_asked_for_or_what_fits() {
        let catalogue = tiny::catalogue();
        let asked = Asked { org_unit: "VN", data_set: "services", period: "202211" };
        let question = Question::of_reports(&catalogue, asked).unwrap();
        let units = reporting(&catalogue, question);
        let page = |found, size| page(&catalogue, question, &units, found, size);

        let (reports, done) = page(vec![(1, Some(standing(1))), (3, None)], 3);
        assert_eq!((codes(&reports), done), (vec!["00002", "00004"], units.len()), "all were looked at");
        let (reports, done) = page(vec![(1, Some(standing(1))), (3, None)], 2);
        assert_eq!((reports.len(), done), (2, 4), "there may be more after the last");
        let large = || Some(standing(ENOUGH_BYTES / 2));
        let (reports, done) = page(vec![(0, large()), (2, large()), (3, large())], 100);
        assert_eq!((codes(&reports), done), (vec!["00001", "00003"], 3), "the third is for the next page");
        assert_eq!(page(Vec::new(), 3), (Vec::new(), units.len()));
    }

    #[test]
    fn a_filter_that_is_not_known_is_refused() {
        assert_eq!(filter(0), Ok(ReportFilter::All));
        assert_eq!(filter(pb::ReportFilter::Late.into()), Ok(ReportFilter::Late));
        assert_eq!(filter(6), Err(Refused::Filter(6)));
    }
}
