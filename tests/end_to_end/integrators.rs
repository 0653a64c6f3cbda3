//! The pages for those whose systems push, ask and follow: every command in them is run, and says what they say it says.
//!
//! A page's fenced blocks of `sh` are run one after the other in one shell, at the top of the repository. A block of `text`
//! after one of them is what it prints, with `…` for whatever differs from run to run, and on a line of its own for any lines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use ::client::fake::Fake;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tests::{OrgUnits, PATIENCE, Services, World, eventually, level, sum};
use tokio::{
    process::{Child, Command},
    time::Instant,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Packages are fetched once for each version of the requirements.
const FETCHING: Duration = Duration::from_secs(300);

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A block of commands of a page, and what they print where the page shows it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    commands: String,
    prints: Option<String>,
}

/// The blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let text: String = lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
        match kind {
            "sh" => blocks.push(Block { commands: text, prints: None }),
            "text" => {
                let before = blocks.last_mut().unwrap_or_else(|| panic!("nothing prints {text}"));
                assert!(before.prints.replace(text).is_none(), "one thing is printed twice: {before:?}");
            }
            _ => panic!("a page has blocks of sh and text, not {kind:?}"),
        }
    }
    blocks
}

/// Whether a line is as a page shows it.
fn is_like(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// What is wrong with what was printed, if anything. Each line shown is there; and no other, unless `…` stands for it. Their
/// order is not compared: answers come as they are ready.
fn differs(printed: &str, shown: &str) -> Option<String> {
    let mut left: Vec<_> = printed.lines().collect();
    for shown in shown.lines().filter(|line| *line != "…") {
        let Some(place) = left.iter().position(|line| is_like(line, shown)) else {
            return Some(format!("no line is like {shown:?} in:\n{printed}"));
        };
        left.remove(place);
    }
    let others = shown.lines().any(|line| line == "…");
    (!others && !left.is_empty()).then(|| format!("these lines are not shown: {left:#?}"))
}

/// A command with the addresses that a page speaks of, in a process group of its own.
fn command(program: &str, scratch: &Path, world: &World, services: &Services) -> Command {
    let mut command = Command::new(program);
    command.env("COLLECTOR", services.collector.address()).env("QUERY", services.query.address());
    command.envs(tests::environment(&world.credentials));
    command.env("NATS", world.nats.tls_url()).env("TONGHOP_NATS_SEED", world.keys.layout().nats_seed("operator"));
    command.env("TMPDIR", scratch).env("PYTHONDONTWRITEBYTECODE", "1");
    command.current_dir(top()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    command
}

/// Waits for a command; one that does not end is killed with all that it started.
async fn ended(child: Child, within: Duration) -> Output {
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).unwrap();
    match tokio::time::timeout(within, child.wait_with_output()).await {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill_process_group(group, Signal::KILL).unwrap();
            panic!("a command does not end");
        }
    }
}

/// What the examples are found by, made if it is not there.
async fn python_path() -> String {
    let mut prepare = Command::new("python3");
    prepare.arg(top().join("proto/examples/python/prepare.py")).stdin(Stdio::null()).stdout(Stdio::piped());
    let output = ended(prepare.process_group(0).spawn().unwrap(), FETCHING).await;
    assert!(output.status.success(), "the examples cannot be prepared: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs a page of `proto/docs` against real services.
async fn holds(page: &str) -> (World, Services) {
    let blocks = blocks(&fs::read_to_string(top().join("proto/docs").join(page)).unwrap());
    assert!(blocks.iter().any(|block| block.prints.is_some()), "{page} shows nothing");
    python_path().await;
    let world = World::start().await;
    let services = world.services().await;
    let scratch = tempfile::tempdir().unwrap();
    let printed = |place: usize| scratch.path().join(format!("printed-{place}"));
    let blocks_of_script =
        blocks.iter().enumerate().map(|(place, block)| format!("exec >{:?}\n{}", printed(place), block.commands));
    let script: String = blocks_of_script.collect();
    let mut shell = command("bash", scratch.path(), &world, &services);
    // Each block starts programs of its own.
    let patience = PATIENCE * u32::try_from(blocks.len()).unwrap();
    let output = ended(shell.args(["-euo", "pipefail", "-c", &script]).spawn().unwrap(), patience).await;
    let complaints = String::from_utf8_lossy(&output.stderr);
    for (place, Block { commands, prints }) in blocks.iter().enumerate() {
        let text = fs::read_to_string(printed(place))
            .unwrap_or_else(|_| panic!("{page} ends before\n{commands}with {}: {complaints}", output.status));
        if let Some(problem) = prints.as_ref().and_then(|prints| differs(&text, prints)) {
            panic!("{page}:\n{commands}{problem}\n{complaints}");
        }
    }
    assert!(output.status.success(), "{page} ends with {}: {complaints}", output.status);
    services.assert_quiet();
    (world, services)
}

/// Goal: whoever does what the page on pushing says has reports that count, corrections that replace them, and for every
/// mistake its reason.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_pushing_holds() {
    let (world, services) = holds("pushing.md").await;
    let totals = services.totals("94", "identity", "202211").await;
    assert_eq!(level(&totals, "commune").reported, 2);
    assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), Some(14_309 + 9_210));
    let packed = services.totals("94", "identity", "202212").await;
    assert_eq!(sum(&packed, "commune", "id_card_records_collected"), Some(14_350));
    world.verified().await;
}

/// Goal: whoever does what the page on asking says gets the totals it shows, of a month and of longer periods.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_asking_holds() {
    let (world, _) = holds("asking.md").await;
    world.verified().await;
}

/// Goal: whoever does what the page on following says sees every total once, and after a pause only what is new.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_following_holds() {
    let (world, _) = holds("following.md").await;
    world.verified().await;
}

/// One of the examples, running.
fn example(name: &str, python: &str, dir: &TempDir, world: &World, services: &Services, arguments: &[&str]) -> Child {
    let mut example = command("python3", dir.path(), world, services);
    example.arg(top().join("proto/examples/python").join(name)).args(arguments);
    let [out, err] =
        ["out", "err"].map(|stream| fs::File::create(dir.path().join(format!("{name}.{stream}"))).unwrap());
    example.env("PYTHONPATH", python).current_dir(dir.path()).stdout(out).stderr(err).spawn().unwrap()
}

/// Goal: NATS is killed while a system pushes and another follows. The pusher waits as it is told and brings everything in;
/// the follower goes on where it was and ends with the totals; started again, it has nothing to say.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_outlive_a_crash_of_nats() {
    const REPORTS: usize = 500;
    let python = python_path().await;
    let mut world = World::start().await;
    let services = world.services().await;
    let dir = tempfile::tempdir().unwrap();
    let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let mut table = "org_unit,data_set,period,revision,id_eligible_citizens\n".to_owned();
    let units = OrgUnits::read();
    let communes = units.below("VN", "commune").into_iter().filter(|commune| *commune != "31498");
    for (commune, number) in communes.zip(1_000..).take(REPORTS) {
        table += &format!("{commune},identity,202211,1,{number}\n");
    }
    fs::write(dir.path().join("reports.csv"), table).unwrap();
    let expected = (1_000..).take(REPORTS).sum::<i64>();

    let nats = world.nats.tls_url();
    let follow = ["--nats", &nats, "--subjects", "totals.v1.national.VN.identity.202211"];
    let follower = example("follow.py", &python, &dir, &world, &services, &follow);
    let first = tests::report("31498", 1, vec![tests::int("id_eligible_citizens", 1)]);
    services.submit(&first).await.unwrap();
    let told = |line: String| async move {
        if text("follow.py.out").contains(&line) { Ok(()) } else { Err(text("follow.py.err")) }
    };
    eventually("the follower sees the first report", || told("commune 1/10599 id_eligible_citizens=1\n".to_owned()))
        .await;

    world.nats.kill_hard().await.unwrap();
    let collector = services.collector.address();
    let pusher = example("push.py", &python, &dir, &world, &services, &["reports.csv", "--collector", &collector]);
    let waits =
        || async { if text("push.py.err").contains("sent again in") { Ok(()) } else { Err(text("push.py.out")) } };
    eventually("the pusher is told to wait", waits).await;
    world.nats.restart().await.unwrap();
    let pushed = ended(pusher, PATIENCE).await;
    assert!(pushed.status.success(), "{}", text("push.py.err"));
    assert_eq!(text("push.py.out").matches("acknowledged").count(), REPORTS);

    let all = format!("commune {}/10599 id_eligible_citizens={}\n", REPORTS + 1, expected + 1);
    eventually("the follower sees them all", || told(all.clone())).await;
    let totals = services.totals("VN", "identity", "202211").await;
    assert_eq!(sum(&totals, "commune", "id_eligible_citizens"), Some(expected + 1));
    let mut follower = follower;
    follower.kill().await.unwrap();
    let again = example("follow.py", &python, &dir, &world, &services, &[&follow[..], &["--idle", "1"]].concat());
    assert!(ended(again, PATIENCE).await.status.success(), "{}", text("follow.py.err"));
    assert_eq!(text("follow.py.out"), "");
    services.assert_quiet();
}

/// Goal: a partner's key is enough for the example that partners copy from. It prints the totals of their province and what
/// became of its reports, each once and nobody else's, acknowledges what it kept, and ends where trying again does not help.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_partners_follows_their_province() {
    let python = python_path().await;
    let world = World::start().await;
    let services = world.services().await;
    let dir = tempfile::tempdir().unwrap();
    let (keys, catalogue, nats) = (world.keys.layout(), tests::catalogue_dir(), world.nats.url());
    let of = |province| ["--province", province, "--fates", "--catalogue", catalogue.to_str().unwrap()];
    let write = ["nats", "partner", "--json", "--keys", keys.dir().to_str().unwrap()];
    let make = ["nats", "consumers", "--json", "--nats", &nats];
    tests::tonghop(0, &[&write[..], &of("94")].concat()).await;
    world.nats.reload().await.unwrap();
    tests::tonghop(0, &[&make[..], &of("94")].concat()).await;

    let (url, seed, ca) = (world.nats.tls_url(), keys.nats_seed("partner_94"), keys.ca());
    let [seed, ca] = [&seed, &ca].map(|file| file.to_str().unwrap());
    // Whether it ends well, what it prints, and what it complains of.
    let run = async |partner: &str| {
        let who = ["--nats", &url, "--seed", seed, "--ca", ca, "--partner", partner];
        let arguments = [&who[..], &["--copy", partner, "--idle", "2"]].concat();
        let output = ended(example("partner.py", &python, &dir, &world, &services, &arguments), PATIENCE).await;
        let text = |stream: &str| fs::read_to_string(dir.path().join(format!("partner.py.{stream}"))).unwrap();
        (output.status.success(), text("out"), text("err"))
    };
    let submit = async |unit: &str, revision, value| {
        let report = tests::report(unit, revision, vec![tests::int("id_eligible_citizens", value)]);
        services.submit(&report).await.unwrap();
    };
    for (unit, value) in [("31498", 1), ("31501", 10), ("00001", 100)] {
        submit(unit, 1, value).await;
    }
    world.settled(3).await;
    let (is_well, printed, complaints) = run("partner_94").await;
    assert!(is_well, "{complaints}");
    let shown = "district 941 identity 202211 version … commune 2/10 id_eligible_citizens=11\n\
                 province 94 identity 202211 version … commune 2/109 id_eligible_citizens=11\n\
                 31498 identity 202211 revision 1: accepted\n\
                 31501 identity 202211 revision 1: accepted\n…\n";
    assert_eq!(differs(&printed, shown), None, "{complaints}");
    assert!(["national", "province 01 ", "00001 "].iter().all(|others| !printed.contains(others)), "{printed}");

    let (is_well, printed, complaints) = run("partner_94").await;
    assert!(is_well && printed.is_empty(), "{printed}{complaints}");
    let jetstream = async_nats::jetstream::new(async_nats::connect(world.nats.url()).await.unwrap());
    for stream in ["TOTALS", "FATES"] {
        let consumer: async_nats::jetstream::consumer::PullConsumer =
            jetstream.get_consumer_from_stream("partner_94", stream).await.unwrap();
        assert_eq!(consumer.cached_info().num_ack_pending, 0, "what came on {stream} is acknowledged");
    }
    submit("31501", 2, 20).await;
    world.settled(4).await;
    let (_, printed, complaints) = run("partner_94").await;
    let shown = "province 94 identity 202211 version … commune 2/109 id_eligible_citizens=21\n\
                 31501 identity 202211 revision 2: accepted\n…\n";
    assert_eq!(differs(&printed, shown), None, "{complaints}");
    assert!(!printed.contains("revision 1"), "{printed}");

    let (is_well, _, complaints) = run("partner_01").await;
    assert!(!is_well && complaints.to_lowercase().contains("permissions violation"), "{complaints}");
    // A partner that is named no more is out.
    tests::tonghop(0, &[&write[..], &of("01")].concat()).await;
    world.nats.reload().await.unwrap();
    let (is_well, _, complaints) = run("partner_94").await;
    assert!(!is_well && complaints.to_lowercase().contains("authorization violation"), "{complaints}");
    services.assert_quiet();
}

/// Goal: a collector that ends a stream and asks for a pause is given it.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_that_pushes_waits_as_long_as_a_failed_stream_asks() {
    const ASKED: Duration = Duration::from_secs(4);
    let python = python_path().await;
    let fake = Fake::default();
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(ASKED));
    fake.state().opens_with = [Status::with_error_details(Code::Unavailable, "later", details)].into();
    let collector = fake.clone().serve().await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("reports.csv"), "org_unit,data_set,period,revision,a\n1,x,2022,1,5\n").unwrap();
    let mut push = Command::new("python3");
    push.arg(top().join("proto/examples/python/push.py")).args(["reports.csv", "--collector", &collector]);
    // The fake's own certificate; the file that its credentials name is of this process alone.
    let ca = dir.path().join("ca.pem");
    fs::copy(client::fake::credentials().ca.unwrap(), &ca).unwrap();
    push.env("TONGHOP_CA", ca).env("PYTHONPATH", python).env("PYTHONDONTWRITEBYTECODE", "1");
    push.current_dir(dir.path()).process_group(0);
    let started = Instant::now();
    let child = push.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = ended(child, PATIENCE).await;
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let (came, _) = fake.state().came[0];
    assert!(came - started >= ASKED, "{complaints}");
}

/// Goal: with a token instead of a certificate the examples push and ask as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_take_a_token() {
    let python = python_path().await;
    let world = World::start().await;
    let services = world.services().await;
    let dir = tempfile::tempdir().unwrap();
    let table = "org_unit,data_set,period,revision,id_eligible_citizens\n31498,identity,202211,1,7\n";
    fs::write(dir.path().join("reports.csv"), table).unwrap();
    let mut pushing = command("python3", dir.path(), &world, &services);
    pushing.arg(top().join("proto/examples/python/push.py")).args(["reports.csv"]);
    pushing.args(["--collector", &services.collector.address(), "--query", &services.query.address()]);
    pushing.env_remove("TONGHOP_CERT").env_remove("TONGHOP_KEY");
    pushing.envs(tests::environment(&world.keys.token(tests::EVERYBODY).unwrap()));
    let pushed = ended(pushing.env("PYTHONPATH", python).current_dir(dir.path()).spawn().unwrap(), PATIENCE).await;
    let printed = String::from_utf8_lossy(&pushed.stdout);
    assert!(pushed.status.success() && printed.ends_with(": accepted\n"), "{pushed:?}");
}

#[test]
fn a_page_is_read_block_by_block() {
    let page = "# A\n```sh\nls\n```\nIt prints\n\n```text\na\n```\n\n```sh\ncd b\n```\n";
    let ls = Block { commands: "ls\n".to_owned(), prints: Some("a\n".to_owned()) };
    assert_eq!(blocks(page), [ls, Block { commands: "cd b\n".to_owned(), prints: None }]);
}

#[test]
fn what_differs_from_the_page_is_told() {
    for (printed, shown, is_fine) in [
        ("b 7\na\n", "a\nb …\n", true),
        ("a 1 c\n", "a …\n", true),
        ("a 1 c\n", "a … c\n", true),
        ("a 1 d\n", "a … c\n", false),
        ("a b\n", "a\n", false),
        ("a\n", "a\nb\n", false),
        ("a\nb\n", "a\n", false),
        ("a\nb\n", "a\n…\n", true),
        ("a\n", "a\na\n", false),
    ] {
        assert_eq!(differs(printed, shown).is_none(), is_fine, "{printed:?} for {shown:?}");
    }
}
