//! The law: who may use whom, and what each must never do.

/// Ours, and what of ours each may declare, whether as a normal, a build or a dev-dependency.
pub(crate) const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("catalogue", &["domain"]),
    ("proto", &["domain"]),
    ("messaging", &["domain", "proto"]),
    ("store", &["domain"]),
    ("runtime", &[]),
    ("access", &["domain"]),
    ("client", &["proto"]),
    ("collector", &["domain", "access", "catalogue", "proto", "messaging", "runtime"]),
    ("validator", &["domain", "access", "catalogue", "proto", "messaging", "store", "runtime"]),
    ("aggregator", &["domain", "catalogue", "messaging", "store", "runtime"]),
    ("query", &["domain", "access", "catalogue", "proto", "messaging", "store", "runtime"]),
    ("cli", EVERYTHING),
    ("local", EVERYTHING),
    ("tests", EVERYTHING),
    ("load", EVERYTHING),
];

const EVERYTHING: &[&str] = &[
    "domain",
    "access",
    "catalogue",
    "proto",
    "messaging",
    "store",
    "runtime",
    "collector",
    "validator",
    "aggregator",
    "query",
    "client",
    "cli",
    "local",
];

/// Others' crates that only some of ours may declare: the doors to NATS, PostgreSQL, SQLite and the wire.
pub(crate) const DOORS: &[(&str, &[&str])] = &[
    // local looks at its servers through the plain clients, in its tests; tests does through them what no service does:
    // deletes a stream, falsifies a total; load measures them, and designs in SQL that are none of ours.
    ("async-nats", &["messaging", "local", "tests", "load"]),
    ("sqlx", &["store", "local", "tests", "load"]),
    // A local system's own spool, and no store of ours.
    ("rusqlite", &["client"]),
    // tests reads what stands in the logs.
    ("prost", &["proto", "messaging", "client", "tests"]),
    ("prost-types", &["proto"]),
    ("tonic-prost", &["proto"]),
    ("tonic-prost-build", &["proto"]),
    ("protox", &["proto"]),
    ("tonic", &["proto", "runtime", "collector", "query", "client", "cli", "local", "tests", "load"]),
    ("tonic-health", &["runtime"]),
    ("postgres-protocol", &["store"]),
    ("nkeys", &["access", "messaging"]),
    // What proves who somebody is.
    ("jsonwebtoken", &["access"]),
    // runtime and client make certificates for their tests.
    ("rcgen", &["access", "runtime", "client"]),
    // TLS under gRPC; the tests shake hands by hand as well, and access serves keys to its own.
    ("tokio-rustls", &["runtime", "client", "access", "tests"]),
    ("governor", &["runtime"]),
    // How the process is watched.
    ("axum", &["runtime"]),
    ("metrics-exporter-prometheus", &["runtime"]),
    ("opentelemetry", &["runtime"]),
    ("opentelemetry-otlp", &["runtime"]),
    ("opentelemetry_sdk", &["runtime"]),
    ("opentelemetry-proto", &["tests"]),
    // Keys of tokens that are at a URL.
    ("ureq", &["access"]),
];

/// What must not even come in through somebody else's normal or build dependencies.
pub(crate) const MUST_NOT_REACH: &[(&str, &[&str])] = &[
    (
        "domain",
        &["tokio", "serde", "serde_core", "prost", "sqlx", "async-nats", "tonic", "tracing", "futures-core", "log"],
    ),
    ("catalogue", &["tokio", "prost", "sqlx", "async-nats", "tonic"]),
    ("proto", &["sqlx", "async-nats"]),
    ("messaging", &["sqlx"]),
    ("store", &["async-nats", "prost", "tonic"]),
    ("runtime", &["sqlx", "async-nats"]),
    ("access", &["prost", "sqlx", "async-nats", "tonic"]),
    // Others embed it: what only a service needs is not for them.
    ("client", &["sqlx", "async-nats", "clap", "tonic-health", "tracing-subscriber"]),
];

/// What Cargo cannot see: code below these paths, comments and generated files apart, contains none of these.
pub(crate) const MUST_NOT_SAY: &[(&str, &[&str])] = &[
    (
        "crates/domain/src/",
        &[
            // It does not know the time. A version 7 UUID made from nothing reads the clock as well.
            "SystemTime",
            "Instant::now",
            "now_utc",
            "now_local",
            "now_v7",
            // It does no I/O.
            "std::fs",
            "fs::",
            "std::net",
            "net::",
            // It cannot wait.
            "std::thread",
            "thread::",
            "async ",
        ],
    ),
    ("crates/catalogue/src/", &["spawn(", "connect("]),
    ("crates/proto/src/", &["spawn(", "connect("]),
];

/// Crates whose public items must not mention the crate they hide.
pub(crate) const MUST_NOT_HAND_OUT: &[(&str, &str)] =
    &[("crates/messaging/src/", "async_nats"), ("crates/store/src/", "sqlx"), ("crates/client/src/", "rusqlite")];

/// Licences that let anyone use, change and pass on the whole; one of these must be enough for every dependency. None
/// needs a copyleft licence, not even MPL-2.0.
pub(crate) const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What the repository may hold at its top.
pub(crate) const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".dockerignore",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "README.vi.md",
    "clippy.toml",
    "crates",
    "deploy",
    "docker-compose.yml",
    "proto",
    "rustfmt.toml",
    "tests",
];

/// Places of one machine: what is kept there nobody else has. In two halves, so that this file does not name them itself.
pub(crate) const NOT_OURS_TO_NAME: &[&str] =
    &[concat!("/", "home/"), concat!("/", "root/"), concat!("/", "work/"), concat!("/", "Users/")];
