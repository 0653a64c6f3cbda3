//! Goal: whatever is put into the folder, and whenever the agent ends, each file has one answer and each report goes out
//! under one id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::{pending, ready},
    path::Path,
    pin::pin,
    time::Duration,
};

use client::{
    Client, Config,
    fake::{Does, Fake},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Left, Sending, ended, watch};
use crate::{
    Ended,
    args::{self, Lang},
    output::{Failure, tests::captured},
};

/// A folder for an agent, and a spool beside it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        Self(dir)
    }

    fn folder(&self) -> std::path::PathBuf {
        self.0.path().join("folder")
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder().join(name), text).unwrap();
    }

    fn args(&self, url: &str) -> args::Agent {
        args::Agent {
            catalogue: None,
            folder: self.folder(),
            spool: self.0.path().join("spool"),
            collector: url.to_owned(),
            query: url.to_owned(),
            credentials: args::fake_credentials(),
            once: true,
            every: Duration::from_millis(20),
            quiet_for: Duration::from_millis(20),
            give_up_after: Duration::from_secs(3600),
        }
    }

    /// Every file but the agent's own and the answers: where it is.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for place in ["", "sending", "done", "refused"] {
            for entry in fs::read_dir(self.folder().join(place)).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                if entry.path().is_file() && !name.starts_with('.') && !name.contains(".answer.") {
                    files.push(Path::new(place).join(name).to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    fn answer(&self, file: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.folder().join(format!("{file}.answer.json"))).unwrap()).unwrap()
    }
}

/// Runs an agent until all files have their answers; what it ended with and what it printed.
async fn once(args: &args::Agent) -> (Result<Ended, Failure>, String, String) {
    let (output, written) = captured(true, Lang::En);
    let ended = tokio::time::timeout(Duration::from_secs(60), watch(args, &output, pin!(pending()))).await;
    let (stdout, stderr) = written();
    (ended.expect("the agent ends"), stdout, stderr)
}

fn rows(units: impl IntoIterator<Item = usize>) -> String {
    let rows = units.into_iter().map(|unit| format!("{unit},x,2022,5,6\n"));
    format!("org_unit,data_set,period,a,b[s03]\n{}", rows.collect::<String>())
}

#[test]
fn what_cannot_be_read_keeps_nobody_waiting() {
    let ends = |files: &[(&str, bool)], waiting| {
        let sending =
            |(name, is_stuck): &(&str, bool)| (name.into(), Sending { is_stuck: *is_stuck, ..Sending::default() });
        ended(&files.iter().map(sending).collect(), &Left { waiting, stuck: 0 }, false)
    };
    assert_eq!(ends(&[], 0), Some(Ended::Well));
    assert_eq!(ends(&[("a.csv", true)], 0), Some(Ended::Badly), "it has no answer");
    assert_eq!(ends(&[("a.csv", true), ("b.csv", false)], 0), None, "the other is on its way");
    assert_eq!(ends(&[("a.csv", true)], 1), None, "one is not taken yet");
    assert_eq!(ended(&BTreeMap::new(), &Left { waiting: 0, stuck: 1 }, false), Some(Ended::Badly), "it lies there");
}

#[tokio::test]
async fn each_file_is_answered_and_put_where_it_belongs() {
    let (fake, home) = (Fake::default(), Home::new());
    fake.state().does = [("3".to_owned(), Does::Refuses), ("5".to_owned(), Does::Postpones(2))].into();
    home.put("good.csv", &rows([4, 5, 6]));
    home.put("rejected.csv", &rows([7, 2]));
    home.put("refused.csv", &rows([8, 3]));
    home.put("unreadable.json", "{\"org_unit\": 1.5}");
    home.put("bytes.csv", "");
    fs::write(home.folder().join("bytes.csv"), [0xff, 0xfe]).unwrap();
    home.put("empty.csv", &rows([]));
    home.put("ignored.txt", "");
    let (ended, stdout, stderr) = once(&home.args(&fake.clone().serve().await)).await;
    assert_eq!(ended.unwrap(), Ended::Badly, "{stderr}");
    assert_eq!(stderr.matches("ignored.txt is not sent").count(), 1, "{stderr}");
    let expected = [
        "done/good.csv",
        "ignored.txt",
        "refused/bytes.csv",
        "refused/empty.csv",
        "refused/refused.csv",
        "refused/rejected.csv",
        "refused/unreadable.json",
    ];
    assert_eq!(home.files(), expected);
    assert_eq!(stdout.lines().count(), 6, "a line for each file: {stdout}");
    let good = home.answer("done/good.csv");
    assert_eq!((&good["accepted"], &good["outcome"]), (&3.into(), &"done".into()));
    let rejected = home.answer("refused/rejected.csv");
    let outcomes: Vec<_> =
        rejected["lines"].as_array().unwrap().iter().map(|line| (&line["line"], &line["outcome"])).collect();
    assert_eq!(outcomes, [(&2.into(), &"accepted".into()), (&3.into(), &"rejected".into())]);
    let refused = &home.answer("refused/refused.csv")["lines"][1];
    assert_eq!((&refused["violations"][0]["line"], &refused["violations"][0]["cell"]), (&3.into(), &"b[s03]".into()));
    let text = fs::read_to_string(home.folder().join("refused/refused.csv.answer.txt")).unwrap();
    assert!(text.contains("dòng 3, cột 5, ô b[s03]: phải là số"), "{text}");
    assert_eq!(fake.state().seen.iter().collect::<BTreeSet<_>>().len(), 7, "nothing of unreadable files was sent");
}

#[tokio::test]
async fn good_files_alone_are_good_news_and_the_spool_forgets_them() {
    let (fake, home) = (Fake::default(), Home::new());
    let args = home.args(&fake.clone().serve().await);
    for copies in 1..=2 {
        home.put("a.csv", &rows([4, 5]));
        // Two files that say the same are one batch.
        home.put("b.csv", &rows([4, 5]));
        assert_eq!(once(&args).await.0.unwrap(), Ended::Well);
        let ids: BTreeSet<_> = fake.state().seen.iter().cloned().collect();
        assert_eq!(ids.len(), 2 * copies, "a file that comes again is sent again");
        let client =
            Client::open(Config::new(&args.collector, &args.spool).with((&args.credentials).into())).await.unwrap();
        assert_eq!(client.batches().await.unwrap(), [""; 0]);
        client.shutdown().await;
    }
    assert_eq!(home.files(), ["done/a.2.csv", "done/a.csv", "done/b.2.csv", "done/b.csv"]);
}

#[tokio::test]
async fn an_agent_that_ends_at_any_moment_is_gone_on_with() {
    let (fake, home) = (Fake::default(), Home::new());
    let args = home.args(&fake.clone().serve().await);
    let (mut seen, mut was_on_its_way) = (BTreeMap::new(), false);
    for round in 0..12_usize {
        for file in 0..3 {
            let first = 10 + round * 100 + file * 30;
            home.put(&format!("{round}-{file}.csv"), &rows(first..first + 30));
        }
        // Each time it has a little longer, so that it ends in another place.
        let (output, _) = captured(true, Lang::En);
        let time = Duration::from_millis(30 + 15 * round as u64);
        if let Ok(ended) = tokio::time::timeout(time, watch(&args, &output, pin!(pending()))).await {
            assert_eq!(ended.unwrap(), Ended::Well, "it may be done with all, and has not failed");
        }
        for file in home.files() {
            let (_, name) = file.rsplit_once('/').unwrap_or(("", &file));
            was_on_its_way |= file.starts_with("sending/");
            assert!(seen.insert((round, name.to_owned()), file.clone()).is_none(), "{file} is in one place");
        }
        // Whoever was dropped leaves the lock and the spool when its thread has ended.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(was_on_its_way, "it ended with work in hand");
    let (ended, _, stderr) = once(&args).await;
    assert_eq!(ended.unwrap(), Ended::Well, "{stderr}");
    let mut expected: Vec<_> =
        (0..12).flat_map(|round| (0..3).map(move |file| format!("done/{round}-{file}.csv"))).collect();
    expected.sort();
    assert_eq!(home.files(), expected);
    let state = fake.state();
    let units: BTreeSet<_> = state.seen.iter().map(|(unit, _)| unit).collect();
    let ids: BTreeSet<_> = state.seen.iter().collect();
    assert_eq!((units.len(), ids.len()), (12 * 90, 12 * 90), "each report has one id, however often it was sent");
}

#[tokio::test]
async fn a_file_that_is_written_to_on_its_way_is_sent_as_it_is_now() {
    let (fake, home) = (Fake::default(), Home::new());
    let args = home.args(&fake.clone().serve().await);
    fake.state().not_found = u32::MAX;
    home.put("a.csv", &rows([4]));
    let (output, _) = captured(true, Lang::En);
    drop(tokio::time::timeout(Duration::from_millis(400), watch(&args, &output, pin!(pending()))).await);
    assert_eq!(home.files(), ["sending/a.csv"]);
    fs::write(home.folder().join("sending/a.csv"), rows([4, 5])).unwrap();
    fake.state().not_found = 0;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(once(&args).await.0.unwrap(), Ended::Well);
    assert_eq!(home.answer("done/a.csv")["accepted"], 2);
}

/// Goal: of a file that was sent nobody is told that it was not, also where another catalogue cannot read it any more.
#[tokio::test]
async fn a_file_that_was_sent_and_cannot_be_read_any_more_is_answered_with_its_fates() {
    let (fake, home) = (Fake::default(), Home::new());
    let without = home.args(&fake.clone().serve().await);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06");
    let with = args::Agent { catalogue: Some(shipped), ..home.args(&without.collector) };
    fake.state().not_found = u32::MAX;
    // 14309 in a cell that is known to take whole numbers, and nothing that can be read without the catalogue.
    let head = "org_unit,data_set,period,id_eligible_citizens\n";
    home.put("a.csv", &format!("{head}31498,identity,202211,14.309\n31501,identity,202211,9.120\n"));
    let both_came = async {
        while fake.state().seen.len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    let (output, _) = captured(true, Lang::En);
    assert_eq!(watch(&with, &output, pin!(both_came)).await.unwrap(), Ended::Interrupted);
    assert_eq!(home.files(), ["sending/a.csv"]);
    fake.state().not_found = 0;
    let (ended, _, stderr) = once(&without).await;
    assert_eq!(ended.unwrap(), Ended::Well, "{stderr}");
    let answer = home.answer("done/a.csv");
    assert_eq!((&answer["accepted"], &answer["reports"]), (&2.into(), &2.into()));
    let ids: BTreeSet<_> = fake.state().seen.iter().map(|(_, id)| id.clone()).collect();
    let told = answer["lines"].as_array().unwrap().iter().filter_map(|line| line["submission_id"].as_str());
    assert_eq!(told.map(str::to_owned).collect::<BTreeSet<_>>(), ids);
    let text = fs::read_to_string(home.folder().join("done/a.csv.answer.txt")).unwrap();
    assert!(text.contains("Report 2: accepted") && !text.contains("nothing was sent"), "{text}");
}

#[tokio::test]
async fn two_agents_do_not_share_a_folder_nor_a_spool() {
    let (fake, home) = (Fake::default(), Home::new());
    let url = fake.serve().await;
    let args = args::Agent { once: false, ..home.args(&url) };
    let (output, _) = captured(true, Lang::En);
    let never = pin!(pending());
    let first = watch(&args, &output, never);
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let other_spool = args::Agent { spool: home.0.path().join("other"), ..home.args(&url) };
        let elsewhere = Home::new();
        let other_folder = args::Agent { folder: elsewhere.folder(), ..home.args(&url) };
        (once(&other_spool).await.0.unwrap_err().reason, once(&other_folder).await.0.unwrap_err().reason)
    };
    tokio::select! {
        ended = first => panic!("it goes on: {ended:?}"),
        reasons = others => assert_eq!(reasons, ("FOLDER_IN_USE".to_owned(), "SPOOL_IN_USE".to_owned())),
    }
}

#[tokio::test]
async fn who_is_stopped_ends_well_and_with_files_left_does_not() {
    let (fake, home) = (Fake::default(), Home::new());
    home.put("a.csv", &rows([4]));
    let url = fake.serve().await;
    let (output, _) = captured(true, Lang::En);
    let args = home.args(&url);
    assert_eq!(watch(&args, &output, pin!(ready(()))).await.unwrap(), Ended::Interrupted);
    let args = args::Agent { once: false, ..args };
    assert_eq!(watch(&args, &output, pin!(ready(()))).await.unwrap(), Ended::Well);
}
