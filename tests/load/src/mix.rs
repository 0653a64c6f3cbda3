//! What is reported: month after month, form after form, commune after commune, with corrections, repetitions and reports
//! that break a rule. Every number follows from the seed, so nothing has to be kept to know it again.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use domain::{Catalogue, Period, UnitIx};
use uuid::Uuid;

/// The forms, in the order in which they are taken; a scenario of three takes the first three.
pub(crate) const DATA_SETS: [&str; 5] =
    ["load_records", "load_identity", "load_services", "load_digitisation", "load_outreach"];
/// Cells of each.
pub(crate) const CELLS: usize = 40;

/// In a thousand reports, so many break a rule, say again what was said, correct.
const INVALID: u64 = 5;
const DUPLICATE: u64 = 10;
const CORRECTION: u64 = 100;
/// Corrections and repetitions are of reports among the last so many.
const RECENT: usize = 30_000;
/// Reports are on months of these years, in which the tree of 2022 stands.
const YEARS: std::ops::RangeInclusive<u16> = FIRST_YEAR..=2023;
pub(crate) const FIRST_YEAR: u16 = 2005;

/// The generator splitmix64: a few lines that give the same numbers for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }
}

/// Submission ids: UUIDs of version 7 (RFC 9562), of which no two runs have one in common. The system is asked for randomness once and not for each.
#[derive(Clone, Copy, Debug)]
struct Ids {
    random: Random,
    /// Milliseconds since 1970 when it began.
    began_millis: u64,
    began: Instant,
}

impl Ids {
    fn new() -> Self {
        let (time, random) = Uuid::now_v7().as_u64_pair();
        // The upper 48 bits are the time.
        Self { random: Random(random), began_millis: time >> 16, began: Instant::now() }
    }

    fn next(&mut self) -> Uuid {
        let millis = self.began_millis + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random.next().to_le_bytes());
        random[8..].copy_from_slice(&self.random.next().to_le_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// A form and a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) data_set: &'static str,
    pub(crate) period: String,
}

/// A commune, and the units above it by their place in [`Tree::above`].
#[derive(Clone, Debug)]
pub(crate) struct Commune {
    pub(crate) code: String,
    /// From the unit directly above it up to the nation.
    pub(crate) above: Vec<usize>,
}

/// A unit that has communes below it.
#[derive(Clone, Debug)]
pub(crate) struct Above {
    pub(crate) code: String,
    /// The level's code.
    pub(crate) level: String,
    /// How many communes are below it.
    pub(crate) communes: usize,
}

/// Who reports, and whose totals move.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) communes: Vec<Commune>,
    pub(crate) above: Vec<Above>,
}

impl Tree {
    /// The tree of 2022, without the island districts that report themselves.
    pub(crate) fn new(catalogue: &Catalogue) -> anyhow::Result<Self> {
        let data_set = catalogue.find_data_set(DATA_SETS[0]).context("the catalogue is not that of the load")?;
        let vintage = catalogue.vintage(data_set, "202211".parse::<Period>()?);
        let mut above: Vec<Above> = Vec::new();
        let mut place_of = rustc_hash::FxHashMap::default();
        let mut communes = Vec::new();
        let reports = |ix: UnitIx| data_set.levels().iter().any(|level| level == vintage.unit(ix).level);
        for (ix, unit) in vintage.units().filter(|(ix, _)| reports(*ix)) {
            let mut chain = Vec::new();
            for ix in vintage.with_ancestors(ix).skip(1) {
                let place = *place_of.entry(ix).or_insert_with(|| {
                    let unit = vintage.unit(ix);
                    let level = catalogue.level(unit.level).code.to_string();
                    above.push(Above { code: unit.code.to_string(), level, communes: 0 });
                    above.len() - 1
                });
                above[place].communes += 1;
                chain.push(place);
            }
            communes.push(Commune { code: unit.code.to_string(), above: chain });
        }
        anyhow::ensure!(communes.len() > 10_000, "the tree of the catalogue has {} communes", communes.len());
        Ok(Self { communes, above })
    }
}

/// What a report is, for the model's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Counts, until a higher revision does.
    Counts,
    /// The same submission again.
    Duplicate,
    /// Breaks a rule.
    Invalid,
}

/// One report to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// The place in [`Mix::forms`].
    pub(crate) form: usize,
    /// The place in [`Tree::communes`].
    pub(crate) commune: usize,
    pub(crate) revision: u16,
    pub(crate) id: Uuid,
    pub(crate) kind: Kind,
}

/// What a commune has sent for a form.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// The last revision used.
    used: u16,
    /// The one that counts, 0 for none.
    pub(crate) counts: u16,
}

/// How much of the mix there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purity {
    /// First revisions alone.
    Firsts,
    /// With corrections, repetitions and reports that break a rule.
    Mixed,
}

/// The reports, one after the other, and what stands in the end.
#[derive(Debug)]
pub(crate) struct Mix {
    pub(crate) tree: Arc<Tree>,
    ids: Ids,
    pub(crate) numbers: Numbers,
    /// All forms that were begun.
    pub(crate) forms: Vec<Form>,
    /// By form and commune.
    pub(crate) standing: Vec<Vec<Standing>>,
    random: Random,
    /// Communes in the order in which they report.
    turns: Vec<usize>,
    month: usize,
    /// The forms of the month, and how many first reports of them are out.
    wave: std::ops::Range<usize>,
    out: usize,
    recent: Vec<Order>,
    oldest: usize,
    pub(crate) sent: Sent,
}

/// How many orders of each kind there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) counting: i64,
    pub(crate) duplicates: i64,
    pub(crate) invalid: i64,
}

/// The cells of every report, from the seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    seed: u64,
}

impl Numbers {
    /// The cells of a report: pairs of received and completed, of which completed is the smaller, unless the report is to
    /// break the first rule.
    pub(crate) fn of(self, form: usize, commune: usize, revision: u16, kind: Kind) -> [i64; CELLS] {
        let key = (form << 40) ^ (commune << 16) ^ usize::from(revision);
        let mut random = Random(self.seed ^ u64::try_from(key).unwrap_or(0));
        let mut cells = [0; CELLS];
        for pair in cells.chunks_exact_mut(2) {
            let draw = random.next();
            let (received, part) = (1_000 + draw % 99_000, (draw >> 32) % 1_000);
            let number = |number: u64| i64::try_from(number).unwrap_or(0);
            (pair[0], pair[1]) = (number(received), number(received * part / 1_000));
        }
        if kind == Kind::Invalid {
            cells[1] = cells[0] + 1;
        }
        cells
    }
}

impl Mix {
    pub(crate) fn new(tree: Arc<Tree>, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut turns: Vec<usize> = (0..tree.communes.len()).collect();
        for place in (1..turns.len()).rev() {
            turns.swap(place, random.below(place + 1));
        }
        let (forms, standing, recent) = (Vec::new(), Vec::new(), Vec::with_capacity(RECENT));
        let numbers = Numbers { seed };
        Self {
            tree,
            ids: Ids::new(),
            numbers,
            forms,
            standing,
            random,
            turns,
            month: 0,
            wave: 0..0,
            out: 0,
            recent,
            oldest: 0,
            sent: Sent::default(),
        }
    }

    /// Begins with the months of a later year.
    ///
    /// # Errors
    /// When the tree does not stand in it.
    pub(crate) fn from(self, year: u16) -> anyhow::Result<Self> {
        anyhow::ensure!(YEARS.contains(&year), "--from: a year from {} to {} is wanted", YEARS.start(), YEARS.end());
        Ok(Self { month: 12 * usize::from(year - FIRST_YEAR), ..self })
    }

    /// Begins with a month of its own for that many forms: what is left of the one before is never reported.
    ///
    /// # Errors
    /// When the years are used up.
    pub(crate) fn begin(&mut self, data_sets: usize) -> anyhow::Result<()> {
        let (year, month) = (self.month / 12, self.month % 12 + 1);
        let year = YEARS
            .clone()
            .nth(year)
            .context("all months of all years are reported; send for a shorter time, or begin earlier (--from)")?;
        self.month += 1;
        let first = self.forms.len();
        for data_set in DATA_SETS.into_iter().take(data_sets) {
            self.forms.push(Form { data_set, period: format!("{year}{month:02}") });
            self.standing.push(vec![Standing::default(); self.tree.communes.len()]);
        }
        (self.wave, self.out) = (first..self.forms.len(), 0);
        Ok(())
    }

    /// Passes over the rest of the year.
    pub(crate) fn begin_year(&mut self, data_sets: usize) -> anyhow::Result<()> {
        self.month = self.month.next_multiple_of(12);
        self.begin(data_sets)
    }

    /// How many first reports a month has.
    pub(crate) fn wave_len(&self) -> usize {
        self.wave.len() * self.tree.communes.len()
    }

    /// The next report.
    ///
    /// # Errors
    /// When all months are reported.
    pub(crate) fn next(&mut self, purity: Purity) -> anyhow::Result<Order> {
        let order = self.draw(purity)?;
        match order.kind {
            Kind::Counts => self.sent.counting += 1,
            Kind::Duplicate => self.sent.duplicates += 1,
            Kind::Invalid => self.sent.invalid += 1,
        }
        Ok(order)
    }

    fn draw(&mut self, purity: Purity) -> anyhow::Result<Order> {
        let lot = self.random.next() % 1_000;
        let recent = (purity == Purity::Mixed && !self.recent.is_empty())
            .then(|| self.recent[self.random.below(self.recent.len())]);
        match recent {
            Some(recent) if lot < INVALID => {
                let standing = &mut self.standing[recent.form][recent.commune];
                standing.used += 1;
                Ok(Order { revision: standing.used, id: self.ids.next(), kind: Kind::Invalid, ..recent })
            }
            Some(recent) if lot < INVALID + DUPLICATE => Ok(Order { kind: Kind::Duplicate, ..recent }),
            Some(recent) if lot < INVALID + DUPLICATE + CORRECTION => Ok(self.counting(recent.form, recent.commune)),
            _ => {
                if self.out == self.wave_len() {
                    self.begin(self.wave.len())?;
                }
                let (turn, form) = (self.out / self.wave.len(), self.out % self.wave.len());
                self.out += 1;
                Ok(self.counting(self.wave.start + form, self.turns[turn]))
            }
        }
    }

    fn counting(&mut self, form: usize, commune: usize) -> Order {
        let standing = &mut self.standing[form][commune];
        standing.used += 1;
        standing.counts = standing.used;
        let order = Order { form, commune, revision: standing.used, id: self.ids.next(), kind: Kind::Counts };
        if self.recent.len() < RECENT {
            self.recent.push(order);
        } else {
            self.recent[self.oldest] = order;
            self.oldest = (self.oldest + 1) % RECENT;
        }
        order
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Two districts of two communes each.
    pub(crate) fn small_tree() -> Arc<Tree> {
        let above =
            |code: &str, level: &str, communes| Above { code: code.to_owned(), level: level.to_owned(), communes };
        let commune = |code: &str, district| Commune { code: code.to_owned(), above: vec![district, 0] };
        Arc::new(Tree {
            communes: vec![commune("a", 1), commune("b", 1), commune("c", 2), commune("d", 2)],
            above: vec![above("VN", "national", 4), above("1", "province", 2), above("2", "province", 2)],
        })
    }

    #[test]
    fn ids_are_of_version_7_and_no_two_are_the_same() {
        let (mut one, mut other) = (Ids::new(), Ids::new());
        let ids: HashSet<_> = (0..1_000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 2_000);
        let of_the_system = Uuid::now_v7().as_u64_pair().0 >> 16;
        for id in ids {
            assert_eq!(id.get_version_num(), 7);
            assert!((id.as_u64_pair().0 >> 16).abs_diff(of_the_system) < 60_000, "{id}");
        }
    }

    #[test]
    fn every_commune_reports_every_form_once_a_month() {
        let mut mix = Mix::new(small_tree(), 1);
        mix.begin(3).unwrap();
        let orders: Vec<Order> = (0..24).map(|_| mix.next(Purity::Firsts).unwrap()).collect();
        let keys: HashSet<_> = orders.iter().map(|order| (order.form, order.commune)).collect();
        assert_eq!(keys.len(), 24);
        assert!(orders.iter().all(|order| order.revision == 1 && order.kind == Kind::Counts));
        assert!(orders[..12].iter().all(|order| order.form < 3) && orders[12..].iter().all(|order| order.form >= 3));
        assert_eq!(mix.forms[3], Form { data_set: "load_records", period: "200502".to_owned() });
    }

    #[test]
    fn the_mix_is_as_promised() {
        let mut mix = Mix::new(small_tree(), 7);
        mix.begin(5).unwrap();
        let mut ids = HashSet::new();
        let mut corrections = 0;
        const REPORTS: i64 = 4_000;
        for _ in 0..REPORTS {
            let order = mix.next(Purity::Mixed).unwrap();
            assert_eq!(ids.insert(order.id), order.kind != Kind::Duplicate, "an id is a submission's");
            corrections += i64::from(order.kind == Kind::Counts && order.revision > 1);
        }
        let Sent { counting, duplicates, invalid } = mix.sent;
        assert_eq!(counting + duplicates + invalid, REPORTS);
        let about = |found: i64, of_a_thousand: i64| (found - of_a_thousand * REPORTS / 1_000).abs() < REPORTS / 100;
        assert!(about(duplicates, 10) && about(invalid, 5) && about(corrections, 100));
        assert!(duplicates > 0 && invalid > 0, "{duplicates} {invalid}");
    }

    #[test]
    fn numbers_keep_the_rules_unless_they_are_to_break_one() {
        let numbers = Numbers { seed: 3 };
        for commune in 0..1_000 {
            let cells = numbers.of(2, commune, 1, Kind::Counts);
            assert!(cells.chunks(2).all(|pair| pair[1] <= pair[0]));
            assert_eq!(cells, numbers.of(2, commune, 1, Kind::Counts));
            assert_ne!(cells, numbers.of(2, commune, 2, Kind::Counts));
            assert_ne!(cells, numbers.of(1, commune, 1, Kind::Counts));
            let broken = numbers.of(2, commune, 1, Kind::Invalid);
            assert!(broken[1] > broken[0] && broken[2..] == cells[2..]);
        }
    }
}
