//! What the parts of a machine's load use while something is measured.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use local::part::{Part, Who};

/// How often memory is looked at. To tell it the kernel walks every page of a process, which waits meanwhile: PostgreSQL's alone take
/// ten milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// What each part used from one moment to another, and the most memory it had between.
#[derive(Debug)]
pub(crate) struct Meter {
    parts: Vec<Part>,
    began: Vec<Duration>,
    stop: Arc<AtomicBool>,
    // A thread of its own: to read `/proc` takes milliseconds, in which a report may arrive.
    looking: JoinHandle<BTreeMap<String, u64>>,
}

impl Meter {
    pub(crate) fn start(parts: &[Part]) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (looked_at, stopped) = (parts.to_vec(), Arc::clone(&stop));
        let looking = thread::spawn(move || {
            let mut peak = BTreeMap::new();
            look(&looked_at, &mut peak);
            while !stopped.load(Ordering::Relaxed) {
                thread::park_timeout(LOOK_EVERY);
                look(&looked_at, &mut peak);
            }
            peak
        });
        let began = parts.iter().map(|part| part.usage().cpu).collect();
        Self { parts: parts.to_vec(), began, stop, looking }
    }

    /// By part: processor seconds, microseconds for each of that many reports, the most memory in MB.
    pub(crate) fn json(self, reports: u64) -> serde_json::Value {
        let mut parts = serde_json::Map::new();
        for (part, began) in self.parts.iter().zip(&self.began) {
            let cpu = part.usage().cpu.saturating_sub(*began).as_secs_f64();
            let each = cpu * 1e6 / (reports.max(1) as f64);
            let cpu = serde_json::json!({ "cpu_s": cpu, "cpu_us_per_report": (each * 10.0).round() / 10.0 });
            parts.insert(part.name.clone(), cpu);
        }
        for (name, peak) in self.memory_mb() {
            let part = parts.entry(name).or_insert_with(|| serde_json::json!({}));
            part["memory_mb"] = serde_json::json!(peak);
        }
        parts.into()
    }

    /// By part, and of our own process: the most memory in MB.
    pub(crate) fn memory_mb(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.thread().unpark();
        // It reads files and adds: it does not panic.
        let mut peak = self.looking.join().unwrap_or_default();
        peak.values_mut().for_each(|bytes| *bytes /= 1_000_000);
        peak
    }
}

/// Notes how much memory there is now, of each part and of our own process.
fn look(parts: &[Part], peak: &mut BTreeMap<String, u64>) {
    let own = Part { name: "this_process".to_owned(), who: Who::Process(std::process::id()) };
    for part in parts.iter().chain([&own]) {
        if let Some(memory) = part.usage().memory {
            let peak = peak.entry(part.name.clone()).or_default();
            *peak = memory.max(*peak);
        }
    }
}
