//! All figures of a run, and what they say about each other.

use serde_json::{Map, Value, json};

use crate::{check::Checked, latency::Latency, mix::CELLS, overload::Overload, rivals::Rivals, run::Outcome};

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) unary: Option<Latency>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) overload: Option<Overload>,
    pub(crate) checked: Checked,
    /// Why something could not be measured or checked.
    pub(crate) failed: Option<String>,
    /// Bytes of the database in the end.
    pub(crate) database: Option<u64>,
    /// Reports in a message of REPORTS at full load, and its bytes.
    pub(crate) message: Option<(f64, usize)>,
    limits: Option<Limits>,
}

/// Reports a second of each thing alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) jetstream_publish: f64,
    pub(crate) grpc_stream: f64,
    pub(crate) postgres_upsert: f64,
    pub(crate) in_memory_fold: f64,
    /// Events a second.
    pub(crate) jetstream_events: f64,
    pub(crate) rivals: Rivals,
}

impl Limits {
    fn stages(&self) -> [(&'static str, f64); 4] {
        [
            ("jetstream_publish", self.jetstream_publish),
            ("grpc_stream", self.grpc_stream),
            ("postgres_upsert", self.postgres_upsert),
            ("in_memory_fold", self.in_memory_fold),
        ]
    }

    fn rivals(&self) -> [(&'static str, f64); 4] {
        let Rivals { row_per_value, triggers, set_based, set_based_from_jetstream } = self.rivals;
        [
            ("row_per_value", row_per_value),
            ("triggers", triggers),
            ("set_based", set_based),
            ("set_based_from_jetstream", set_based_from_jetstream),
        ]
    }
}

impl Figures {
    /// The run of that name.
    pub(crate) fn of(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.name == name)
    }

    /// Puts the limits beside it, and tells them.
    #[expect(clippy::print_stderr, reason = "it is a program for people")]
    pub(crate) fn compare(&mut self, limits: Limits) {
        let sustained = self.sustained();
        for (name, rate) in limits.stages().into_iter().chain(limits.rivals()) {
            let ratio = sustained.map_or(String::new(), |sustained| format!(", × {:.2}", sustained / rate));
            eprintln!("  {name}: {rate:.0} reports/s{ratio}");
        }
        let ratio = self.events().map_or(String::new(), |most| format!(", × {:.2}", most / limits.jetstream_events));
        eprintln!("  jetstream_events: {:.0} events/s{ratio}", limits.jetstream_events);
        self.limits = Some(limits);
    }

    /// Whether everything that was sent is what came out, and nothing that was right was refused.
    pub(crate) fn is_correct(&self) -> bool {
        let refused =
            self.outcomes.iter().map(|outcome| outcome.refused).chain(self.overload.iter().map(|run| run.refused));
        // A stream that ends early is opened again; while too much is sent none may.
        let stayed_open = self.overload.as_ref().is_none_or(|run| run.reopened == 0);
        self.failed.is_none()
            && self.checked.compared > 0
            && self.checked.wrong.is_empty()
            && refused.sum::<u64>() == 0
            && stayed_open
    }

    /// How many reports were sent again: because the collector asked for it, or a stream had ended before they were answered.
    pub(crate) fn again(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.again).chain(self.overload.iter().map(|run| run.again)).sum()
    }

    /// How fast things are after `year`, over how fast they were before it.
    fn year(&self) -> Option<Value> {
        let (year, before) = (self.of("year")?, self.of("max").and_then(|max| max.sustained));
        let after = self.of("max_after_year").and_then(|max| max.sustained);
        let ratio = before.zip(after).map(|(before, after)| (after / before * 100.0).round() / 100.0);
        Some(json!({
            "seconds": year.counted_in.map(|took| took.as_secs_f64()),
            "reports": year.reports,
            "max_before": before.map(f64::round),
            "max_after": after.map(f64::round),
            "ratio": ratio,
        }))
    }

    /// Reports a second: at the maximum, else of the run that was fastest.
    fn sustained(&self) -> Option<f64> {
        let fastest = self.outcomes.iter().filter_map(|outcome| outcome.sustained).reduce(f64::max);
        self.of("max").and_then(|max| max.sustained).or(fastest)
    }

    /// Events of TOTALS a second, of the run that had the most.
    fn events(&self) -> Option<f64> {
        let rates = self.outcomes.iter().filter_map(|outcome| outcome.stages["TOTALS_messages_per_second"].as_f64());
        rates.reduce(f64::max)
    }

    /// One object. Latencies are those at half of the sustained rate, else at the steady one, else of whatever ran.
    pub(crate) fn json(&self) -> Value {
        let sustained = self.sustained();
        let usual = self.of("half").or(self.of("steady")).or(self.outcomes.last());
        let ack = |quantile| usual.and_then(|run| run.acknowledgement.ms(quantile));
        let freshness = |quantile| usual.and_then(|run| run.watched.freshness.ms(quantile));
        let Checked { compared, events, recomputed, wrong } = &self.checked;
        let mut runs: Map<String, Value> =
            self.outcomes.iter().map(|outcome| (outcome.name.to_owned(), outcome.json())).collect();
        runs.extend(self.overload.iter().map(|overload| ("overload".to_owned(), overload.json())));
        let rounded = |(name, rate): (&str, f64)| (name.to_owned(), json!(rate.round()));
        let all = |limits: &Limits| {
            limits.stages().into_iter().chain(limits.rivals()).chain([("jetstream_events", limits.jetstream_events)])
        };
        let limits: Map<String, Value> = self.limits.iter().flat_map(all).map(rounded).collect();
        json!({
            "correct": self.is_correct(),
            "sustained_reports_per_second": sustained.map(f64::round),
            "sustained_values_per_second": sustained.map(|rate| (rate * CELLS as f64).round()),
            "ack_ms_p50": ack(0.5),
            "ack_ms_p99": ack(0.99),
            "freshness_ms_p50": freshness(0.5),
            "freshness_ms_p99": freshness(0.99),
            "latencies_of": usual.map(|run| run.name),
            "unary_ms": self.unary.as_ref().map(Latency::json),
            "limits": limits,
            "ratios": self.ratios(sustained),
            "database_mb_per_million_values": self.database_mb_per_million_values(),
            "totals_compared": compared,
            "events_compared": events,
            "totals_recomputed": recomputed.map(|(totals, _)| totals),
            "wrong": wrong,
            "failed": self.failed,
            "year": self.year(),
            "runs": runs,
        })
    }

    /// The sustained rate over each limit and each other design.
    fn ratios(&self, sustained: Option<f64>) -> Map<String, Value> {
        let (Some(limits), Some(sustained)) = (&self.limits, sustained) else { return Map::new() };
        let of = |rate: f64, limit: f64| json!((rate / limit * 1_000.0).round() / 1_000.0);
        let ratio = |rate: f64| of(sustained, rate);
        let mut ratios: Map<String, Value> = limits
            .stages()
            .into_iter()
            .chain(limits.rivals())
            .map(|(name, rate)| (format!("to_{name}"), ratio(rate)))
            .collect();
        let slowest = limits.stages().into_iter().map(|(_, rate)| rate).fold(f64::INFINITY, f64::min);
        ratios.insert("to_slowest_limit".to_owned(), ratio(slowest));
        if let Some(most) = self.events() {
            ratios.insert("events_to_jetstream_events".to_owned(), of(most, limits.jetstream_events));
        }
        ratios
    }

    fn database_mb_per_million_values(&self) -> Option<f64> {
        let unary = self.unary.as_ref().map_or(0, Latency::count);
        let overload = self.overload.as_ref().map_or(0, Overload::reports);
        let reports = self.outcomes.iter().map(|outcome| outcome.reports).sum::<u64>() + unary + overload;
        let values = reports as f64 * CELLS as f64;
        let bytes = self.database? as f64;
        (values > 0.0).then(|| (bytes / values * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_slowest_limit_and_of_each() {
        let rivals = Rivals {
            row_per_value: 2_000.0,
            triggers: 4_000.0,
            set_based: 10_000.0,
            set_based_from_jetstream: 8_000.0,
        };
        let limits = Limits {
            jetstream_publish: 60_000.0,
            grpc_stream: 90_000.0,
            postgres_upsert: 50_000.0,
            in_memory_fold: 800_000.0,
            jetstream_events: 10_000.0,
            rivals,
        };
        let figures = Figures { limits: Some(limits), ..Figures::default() };
        let ratios = figures.ratios(Some(20_000.0));
        assert_eq!(ratios["to_slowest_limit"], 0.4);
        assert_eq!(ratios["to_row_per_value"], 10.0);
        assert_eq!(ratios["to_set_based"], 2.0);
        assert_eq!(ratios["to_in_memory_fold"], 0.025);
        assert_eq!(ratios.len(), 9);
        assert!(figures.ratios(None).is_empty());
    }

    #[test]
    fn one_wrong_total_makes_it_all_wrong() {
        let mut figures = Figures::default();
        assert!(!figures.is_correct(), "nothing was compared");
        figures.checked.compared = 1;
        assert!(figures.is_correct());
        figures.checked.wrong.push("VN load_records 202211: 3 communes have reported, of 2 that sent".to_owned());
        assert!(!figures.is_correct());
        assert_eq!(figures.json()["correct"], false);
    }
}
