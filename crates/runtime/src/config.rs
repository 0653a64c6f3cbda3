//! Configuration files: TOML, unknown keys refused, secrets elsewhere.
//!
//! A configuration struct derives `Deserialize` with `#[serde(deny_unknown_fields)]`. Durations are plain
//! [`Duration`] fields with `#[serde(deserialize_with = "runtime::config::duration")]`, written `"250ms"`, `"20s"`,
//! `"5m"`; secrets are [`SecretFile`] fields.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};

/// Reads the TOML file at `path`.
///
/// # Errors
///
/// [`ConfigError`], which names the file and, where there is one, the line and the key.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
    parse(&text).map_err(|problem| ConfigError::Invalid { path: path.into(), problem })
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigProblem> {
    let problem = |key: Option<String>, error: &toml::de::Error| ConfigProblem {
        line: error.span().map(|span| 1 + text[..span.start].matches('\n').count()),
        key,
        message: error.message().to_owned(),
    };
    let toml = toml::Deserializer::parse(text).map_err(|error| problem(None, &error))?;
    serde_path_to_error::deserialize(toml).map_err(|error| {
        // A path of no segments is the file itself, as when a key is missing from its top level.
        let key = error.path().iter().next().map(|_| error.path().to_string());
        problem(key, error.inner())
    })
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or not what the program expects.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: ConfigProblem,
    },
}

/// What is wrong in a configuration file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The key, with the tables it is in: `telemetry.filter`.
    pub key: Option<String>,
    /// The problem, in the parser's words.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "key `{key}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Reads a duration written as a whole number and a unit: `us`, `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// When the value is not such a string.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::custom(format_args!("`{text}` is not a duration such as `250ms`, `20s` or `5m`")))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        "d" => Duration::from_hours(24),
        _ => return None,
    };
    unit.checked_mul(number.parse().ok()?)
}

/// Reads a value by its `FromStr`, for types whose text must be checked when the file is read.
pub(crate) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// A password, key or token. It prints as `***`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The path of a file that holds a secret, as Docker, Kubernetes and systemd hand secrets out. A relative path starts
/// at the process's working directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// Names the file; it is not looked at until it is read.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Reads the secret, without the newline that an editor leaves at the end.
    ///
    /// # Errors
    ///
    /// When the file cannot be read as UTF-8 text, or holds nothing.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let text =
            fs::read_to_string(&self.0).map_err(|source| SecretError::Unreadable { path: self.0.clone(), source })?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() {
            return Err(SecretError::Empty { path: self.0.clone() });
        }
        Ok(Secret(secret.to_owned()))
    }
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its file is empty.
    #[error("the secret file {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::telemetry::TelemetryConfig;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        port: u16,
        #[serde(deserialize_with = "duration", default)]
        patience: Duration,
        #[serde(default)]
        #[expect(dead_code, reason = "only its parsing is tested")]
        telemetry: TelemetryConfig,
    }

    #[test]
    fn a_good_file_is_read() {
        let sample: Sample = parse("port = 80\npatience = \"250ms\"\n").unwrap();
        assert_eq!((sample.port, sample.patience), (80, Duration::from_millis(250)));
    }

    #[test]
    fn a_problem_names_line_and_key() {
        for (text, expected) in [
            (
                "port = 80\nprot = 81\n",
                "line 2: key `prot`: unknown field `prot`, expected one of `port`, `patience`, `telemetry`",
            ),
            (
                "port = 80\n[telemetry]\nfliter = \"info\"\n",
                "line 3: key `telemetry.fliter`: unknown field `fliter`, expected one of `format`, `filter`, `otlp_endpoint`, `sampled`",
            ),
            ("\nport = \"80\"\n", "line 2: key `port`: invalid type: string \"80\", expected u16"),
            (
                "port = 80\npatience = \"2 s\"\n",
                "line 2: key `patience`: `2 s` is not a duration such as `250ms`, `20s` or `5m`",
            ),
            (
                "port = 80\n[telemetry]\nfilter = \"a=b=c\"\n",
                "line 3: key `telemetry.filter`: `a=b=c` is not a log filter",
            ),
            ("patience = \"1s\"\n", "line 1: missing field `port`"),
            ("port = 80\nport = 81\n", "line 2: duplicate key"),
        ] {
            let problem = parse::<Sample>(text).unwrap_err();
            assert_eq!(problem.to_string(), expected, "for {text:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = load::<Sample>(Path::new("/nowhere/at/all.toml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the configuration file /nowhere/at/all.toml");
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("0s", Some(Duration::ZERO)),
            ("500us", Some(Duration::from_micros(500))),
            ("250ms", Some(Duration::from_millis(250))),
            ("20s", Some(Duration::from_secs(20))),
            ("5m", Some(Duration::from_secs(300))),
            ("2h", Some(Duration::from_secs(7200))),
            ("7d", Some(Duration::from_secs(604_800))),
            ("", None),
            ("20", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1m30s", None),
            ("99999999999s", None),
        ] {
            assert_eq!(parse_duration(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn a_secret_loses_its_last_newline_and_is_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, expected) in
            [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), (" a\n\n", " a\n")]
        {
            fs::write(file.path(), content).unwrap();
            let secret = SecretFile::new(file.path()).read().unwrap();
            assert_eq!(secret.expose(), expected);
            assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        }
        fs::write(file.path(), "\n").unwrap();
        assert!(matches!(SecretFile::new(file.path()).read(), Err(SecretError::Empty { .. })));
    }
}
