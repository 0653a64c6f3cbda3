//! The client that local systems push with, through the agent that is built on it: what is in its spool survives it and
//! everybody else.

use std::{collections::BTreeMap, fs, path::PathBuf};

use ::client::{Client, Config};
use proto::pb::query::v1::Fate;
use serde_json::Value;
use tempfile::TempDir;
use tests::{OrgUnits, Running, Services, World, eventually, sum, tonghop_with};

/// Files, and units in each.
const FILES: usize = 4;
const UNITS: usize = 40;
/// How often an agent is killed at its first write, at most, until it has spooled three files: at the spool's tables, and for
/// each file when it takes it in and when it marks as sent what it sends of it.
const ROUNDS: usize = 10;

/// How many reports each unit of a file has. One after the other: while there are many, an agent is at work.
fn reports_of_a_unit(file: usize) -> usize {
    if file == FILES - 1 { 40 } else { 10 }
}

/// A folder for an agent, and a spool beside it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        Self(dir)
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("folder")
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    /// Puts a file into the folder as a careful program does: under another name first.
    fn put(&self, name: &str, text: &str) {
        let unfinished = self.folder().join(format!(".{name}"));
        fs::write(&unfinished, text).unwrap();
        fs::rename(unfinished, self.folder().join(name)).unwrap();
    }

    fn arguments(&self, services: &Services, more: &[&str]) -> Vec<String> {
        let (folder, spool) = (self.folder(), self.spool());
        let [folder, spool] = [folder, spool].map(|path| path.to_str().unwrap().to_owned());
        let (collector, query) = (services.collector.address(), services.query.address());
        let mut arguments: Vec<String> = ["agent", "--folder", &folder, "--spool", &spool].map(str::to_owned).into();
        arguments.extend(["--collector", &collector, "--query", &query].map(str::to_owned));
        arguments.extend(["--every", "50ms", "--quiet-for", "100ms", "--json", "--lang", "en"].map(str::to_owned));
        arguments.extend(more.iter().map(|more| (*more).to_owned()));
        arguments
    }

    fn start(&self, services: &Services) -> Running {
        let arguments = self.arguments(services, &[]);
        Running::tonghop(&services.credentials(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs an agent until every file has its answer; gives back what it printed of each.
    async fn once(&self, code: i32, services: &Services) -> Vec<Value> {
        let arguments = self.arguments(services, &["--once"]);
        tonghop_with(&services.credentials(), code, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .await
            .objects()
    }

    /// Waits until an agent has written to the spool. Whoever closes the spool in good order leaves no log.
    async fn written(&self) {
        let log = self.0.path().join("spool-wal");
        eventually("the agent writes to its spool", || async {
            let length = fs::metadata(&log).map_or(0, |log| log.len());
            if length > 0 { Ok(()) } else { Err(length) }
        })
        .await;
    }

    /// How many reports are in the spool of an agent that is dead.
    async fn spooled(&self) -> u64 {
        // Nobody listens there.
        let client = Client::open(Config::new("https://127.0.0.1:9", self.spool()).asking("https://127.0.0.1:9"));
        let client = client.await.unwrap();
        let pending = client.pending().await.unwrap();
        client.shutdown().await;
        pending
    }

    /// Names in one of the folder's places, without the agent's own.
    fn names(&self, place: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder().join(place)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// What the answer says of each line of a file.
    fn answer(&self, file: &str) -> Vec<Value> {
        let answer = fs::read_to_string(self.folder().join(format!("{file}.answer.json"))).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["lines"].as_array().unwrap().clone()
    }
}

/// Goal: an agent is killed with reports in its spool: before anything could be acknowledged because NATS is away, in the
/// middle of sending, and with the collector dead. In the end each report is counted once, those of a unit in the order of
/// the file, and each file is in one place with its answer.
#[tokio::test(flavor = "multi_thread")]
async fn reports_in_the_spool_survive_whatever_dies() {
    let mut world = World::start().await;
    let mut services = world.services().await;
    let home = Home::new();
    let org_units = OrgUnits::read();
    let communes = org_units.below("VN", "commune");
    // No revisions: the collector gives them as reports come, so the last of a unit counts only if they come in order.
    let value = |unit: usize, report: usize| 1_000 + i64::try_from(unit * 100 + report).unwrap();
    let put = |file: usize| {
        let mut text = "org_unit,data_set,period,id_eligible_citizens\n".to_owned();
        for report in 0..reports_of_a_unit(file) {
            for (unit, commune) in communes.iter().enumerate().skip(file * UNITS).take(UNITS) {
                text += &format!("{commune},identity,202211,{}\n", value(unit, report));
            }
        }
        home.put(&format!("{file}.csv"), &text);
    };
    (0..FILES - 1).for_each(put);
    let all = u64::try_from((0..FILES - 1).map(|file| UNITS * reports_of_a_unit(file)).sum::<usize>()).unwrap();

    world.nats.kill_hard().await.unwrap();
    let (mut spooled, mut rounds) = (0, 0);
    while spooled < all {
        rounds += 1;
        assert!(rounds <= ROUNDS, "{spooled} of {all} are spooled");
        let agent = home.start(&services);
        home.written().await;
        agent.kill_hard().await;
        let before = std::mem::replace(&mut spooled, home.spooled().await);
        assert!(before <= spooled && spooled <= all, "{before}, {spooled} of {all}");
    }
    assert_eq!(world.store.fate_counts().await.unwrap().settled(), 0);
    assert_eq!(home.names("sending").len(), FILES - 1);

    world.nats.restart().await.unwrap();
    let settled = async |least: i64| {
        eventually("some reports are counted", || async {
            let settled = world.store.fate_counts().await.unwrap().settled();
            if settled >= least { Ok(()) } else { Err(settled) }
        })
        .await;
    };
    let agent = home.start(&services);
    settled(1).await;
    agent.kill_hard().await;
    let left = home.spooled().await;
    assert!(left <= all, "{left} are without a known fate");

    put(FILES - 1);
    world.quiet().await;
    let before = world.store.fate_counts().await.unwrap().settled();
    let agent = home.start(&services);
    settled(before + 1).await;
    services.collector.kill_hard().await;
    agent.says("cannot connect to the collector").await;
    agent.kill_hard().await;
    assert!(home.spooled().await > 0, "the collector was dead before the end");

    let collector = world.service("collector").await;
    services.replace_collector(collector).await;
    let told = home.once(0, &services).await;
    assert!(told.iter().all(|file| file["outcome"] == "done"), "{told:?}");
    assert_eq!((home.names("sending"), home.names("refused")), (vec![], vec![]));
    let files: Vec<_> = home.names("done").into_iter().filter(|name| !name.contains(".answer.")).collect();
    assert_eq!(files, ["0.csv", "1.csv", "2.csv", "3.csv"]);
    assert_eq!(home.spooled().await, 0);

    let (mut entries, mut last) = (0, BTreeMap::new());
    let mut places: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for line in files.iter().flat_map(|file| home.answer(&format!("done/{file}"))) {
        let told = services.submission(line["submission_id"].as_str().unwrap()).await.unwrap();
        // Verdicts may overtake each other: then an earlier report of a unit finds a later one there.
        assert!([Fate::Accepted, Fate::Superseded].contains(&told.fate()), "{line}");
        let unit = line["org_unit"].as_str().unwrap().to_owned();
        last.insert(unit.clone(), told.counts);
        // What was kept without its sender hearing of it was sent again.
        entries += 1 + told.repeated;
        let place = (line["log_sequence"].as_u64().unwrap(), line["log_index"].as_u64().unwrap());
        places.entry(unit).or_default().push(place);
    }
    world.settled(entries).await;
    assert!(last.values().all(|counts| *counts), "the last of each unit counts: {last:?}");
    assert_eq!(places.len(), FILES * UNITS);
    assert_eq!(
        places.values().map(Vec::len).sum::<usize>(),
        usize::try_from(all).unwrap() + UNITS * reports_of_a_unit(FILES - 1)
    );
    for (unit, places) in &places {
        assert!(places.is_sorted(), "{unit}: {places:?}");
    }
    let totals = services.totals("VN", "identity", "202211").await;
    let expected: i64 = (0..FILES * UNITS).map(|unit| value(unit, reports_of_a_unit(unit / UNITS) - 1)).sum();
    assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), Some(expected));
    world.verified().await;
}

/// Goal: each file of a folder ends where its reports belong, with an answer that says which line is wrong and why; of two
/// agents on a folder the second is refused.
#[tokio::test(flavor = "multi_thread")]
async fn each_file_has_an_answer_that_names_the_line() {
    let world = World::start().await;
    let services = world.services().await;
    let home = Home::new();
    let head = "org_unit,data_set,period,revision,id_eligible_citizens,pop_records_total,pop_records_verified\n";
    home.put("good.csv", &format!("{head}31498,identity,202211,1,412,,\n"));
    home.put("same.csv", &format!("{head}31498,identity,202211,1,412,,\n31504,identity,202211,1,60,,\n"));
    home.put("rule.csv", &format!("{head}31507,identity,202211,1,70,,\n31501,identity,202211,1,5000,10,20\n"));
    home.put("unit.csv", &format!("{head}99999,identity,202211,1,60,,\n"));
    home.put("words.csv", &format!("{head}31510,identity,202211,1,8.1026,,\n"));
    let told = home.once(1, &services).await;
    let mut outcomes: Vec<_> =
        told.iter().map(|file| (file["moved_to"].as_str().unwrap(), file["accepted"].as_u64().unwrap())).collect();
    outcomes.sort_unstable();
    let (good, same) = (outcomes[0], outcomes[1]);
    assert_eq!((good.0, same.0), ("done/good.csv", "done/same.csv"));
    assert_eq!(good.1 + same.1, 2, "what two files say counts once");
    assert_eq!(outcomes[2..], [("refused/rule.csv", 1), ("refused/unit.csv", 0), ("refused/words.csv", 0)]);

    let rule = home.answer("refused/rule.csv");
    let outcomes: Vec<_> = rule.iter().map(|line| (&line["line"], &line["outcome"])).collect();
    assert_eq!(outcomes, [(&2.into(), &"accepted".into()), (&3.into(), &"rejected".into())]);
    assert_eq!(rule[1]["violations"][0]["reason"], "RULE_BROKEN");
    assert_eq!(home.answer("refused/unit.csv")[0]["reason"], "ORG_UNIT_UNKNOWN");
    let text = |name: &str| fs::read_to_string(home.folder().join("refused").join(name)).unwrap();
    let rule = text("rule.csv.answer.txt");
    assert!(
        rule.contains("Dòng 3: 31501 identity 202211: bị từ chối\nLine 3: 31501 identity 202211: rejected"),
        "{rule}"
    );
    let words = text("words.csv.answer.txt");
    assert!(words.contains("Dòng 2, cột 5 (id_eligible_citizens): ") && words.contains("81.026"), "{words}");
    world.settled(5).await;

    let agent = home.start(&services);
    home.put("late.csv", &format!("{head}31513,identity,202211,1,60,,\n"));
    eventually("the first agent is at work", || async {
        let names = home.names("done");
        if names.contains(&"late.csv".to_owned()) { Ok(()) } else { Err(names) }
    })
    .await;
    let arguments = home.arguments(&services, &["--once"]);
    let second = tonghop_with(&services.credentials(), 1, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
        .await
        .object();
    assert_eq!(second["error"]["reason"], "FOLDER_IN_USE");
    agent.kill_hard().await;
    assert_eq!(home.once(0, &services).await, Vec::<Value>::new(), "the lock is gone with whoever held it");
    services.assert_quiet();
}
