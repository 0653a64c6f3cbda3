//! What the processes of a machine use: processor time and memory, as Linux tells in `/proc`.

use std::{fs, io, path::PathBuf, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

/// Something that uses a processor and memory.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is called where what it used is told.
    pub name: String,
    /// Who it is.
    pub who: Who,
}

/// Who that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A process.
    Process(u32),
    /// A process and its children.
    Family(u32),
    /// Threads of our own process, by the name they have. They have no memory of their own.
    Threads(&'static str),
}

/// What it used up to now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time since it began.
    pub cpu: Duration,
    /// Memory at present, in bytes; what several processes share is counted once.
    pub memory: Option<u64>,
}

impl Part {
    /// Reads `NAME=PID`; `postgres` is taken with its children.
    ///
    /// # Errors
    /// When it is something else: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("NAME=PID is wanted")?;
        let pid = pid.parse().map_err(|error| format!("{pid:?} is no process id: {error}"))?;
        let who = if name == "postgres" { Who::Family(pid) } else { Who::Process(pid) };
        Ok(Self { name: name.to_owned(), who })
    }

    /// Kills it at once with SIGKILL, as a crash would, if it is a process of its own. Of a family the children are left alone.
    ///
    /// # Errors
    /// When it is none, or the signal cannot be sent.
    pub fn kill(&self) -> io::Result<()> {
        let (Who::Process(pid) | Who::Family(pid)) = self.who else {
            return Err(io::Error::other(format!("{} is not a process of its own", self.name)));
        };
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(pid, Signal::KILL)?)
    }

    /// What it used up to now; nothing of what is gone.
    #[must_use]
    pub fn usage(&self) -> Usage {
        match self.who {
            Who::Process(pid) => Usage {
                cpu: stat(process(pid).join("stat")).map(|stat| stat.cpu).unwrap_or_default(),
                memory: memory_of(pid),
            },
            Who::Family(pid) => family(pid),
            Who::Threads(name) => Usage { cpu: threads(name), memory: None },
        }
    }
}

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// What a process or thread says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    cpu: Duration,
    /// Of children that ended.
    ended: Duration,
}

fn stat(path: PathBuf) -> Option<Stat> {
    parse_stat(&fs::read_to_string(path).ok()?, rustix::param::clock_ticks_per_second())
}

/// `pid (name) state ppid …`, proc_pid_stat(5). The name may hold anything.
fn parse_stat(text: &str, ticks_per_second: u64) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / ticks_per_second.max(1));
    Some(Stat {
        name,
        parent: fields.get(1)?.parse().ok()?,
        cpu: time(ticks(11)? + ticks(12)?),
        ended: time(ticks(13)? + ticks(14)?),
    })
}

fn numbered(directory: &str) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn family(pid: u32) -> Usage {
    let Some(parent) = stat(process(pid).join("stat")) else { return Usage::default() };
    let mut usage = Usage { cpu: parent.cpu + parent.ended, memory: memory_of(pid) };
    for child in numbered("/proc") {
        if let Some(stat) = stat(process(child).join("stat")).filter(|stat| stat.parent == pid) {
            usage.cpu += stat.cpu + stat.ended;
            usage.memory = usage.memory.zip(memory_of(child)).map(|(all, one)| all + one).or(usage.memory);
        }
    }
    usage
}

fn threads(name: &str) -> Duration {
    let stats = numbered("/proc/self/task").filter_map(|task| stat(format!("/proc/self/task/{task}/stat").into()));
    stats.filter(|stat| stat.name.starts_with(name)).map(|stat| stat.cpu).sum()
}

/// The proportional share where it may be read, else what is resident.
fn memory_of(pid: u32) -> Option<u64> {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(process(pid).join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1_024)
    };
    line("smaps_rollup", "Pss:").or_else(|| line("status", "VmRSS:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_read() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 250 150 30 20 20 0 1 0";
        let stat = parse_stat(text, 100).unwrap();
        let ms = Duration::from_millis;
        assert_eq!(stat, Stat { name: "a) b (c)".to_owned(), parent: 7, cpu: ms(4_000), ended: ms(500) });
    }

    #[test]
    fn we_use_memory_and_a_processor() {
        let part = Part::parse(&format!("me={}", std::process::id())).unwrap();
        assert!(part.usage().memory.unwrap() > 1_000_000);
        let spent = part.usage().cpu;
        let mut sum = 0_u64;
        while part.usage().cpu < spent + Duration::from_millis(50) {
            sum = (0..100_000_u64)
                .fold(sum, |sum, number| sum.wrapping_mul(31).wrapping_add(std::hint::black_box(number)));
        }
        std::hint::black_box(sum);
        assert_eq!(Part::parse("postgres=1").unwrap().who, Who::Family(1));
        assert!(Part::parse("nats").is_err() && Part::parse("nats=x").is_err());
    }
}
