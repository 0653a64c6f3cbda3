//! What there is: the real workspace, asked of Cargo and git. Nothing is fetched.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};

use crate::dependencies::Edge;
use crate::files::File;
use crate::licences::Licence;

const AS_LOCKED: [&str; 2] = ["--locked", "--offline"];

static GRAPH: LazyLock<Metadata> = LazyLock::new(|| {
    // The packages that only other platforms need were never downloaded.
    let options =
        AS_LOCKED.into_iter().chain(["--filter-platform", "host-tuple"]).map(str::to_owned).collect::<Vec<_>>();
    MetadataCommand::new()
        .current_dir(root())
        .features(CargoOpt::AllFeatures)
        .other_options(options)
        .exec()
        .expect("cargo can tell the graph of its own workspace")
});

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The names of our crates.
pub(crate) fn members() -> Vec<String> {
    GRAPH.workspace_packages().into_iter().map(|package| package.name.to_string()).collect()
}

/// What our crates declare: normal, build and dev-dependencies, optional ones too, for every platform.
pub(crate) fn edges() -> Vec<Edge> {
    let edges = |package: &Package| {
        let from = package.name.to_string();
        let to = package.dependencies.iter().map(|dependency| dependency.name.clone());
        to.map(|to| Edge { from: from.clone(), to }).collect::<Vec<_>>()
    };
    GRAPH.workspace_packages().into_iter().flat_map(edges).collect()
}

/// The names of all that `krate` is built with when it is built alone, so without features that others of ours turn on.
pub(crate) fn closure(krate: &str) -> Vec<String> {
    let member = GRAPH.workspace_packages().into_iter().find(|package| package.name == krate);
    let manifest = &member.unwrap_or_else(|| panic!("the law speaks of {krate}, which does not exist")).manifest_path;
    let tree = run(Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--manifest-path"])
        .arg(manifest)
        .args(AS_LOCKED));
    // "name v1.2.3 (where from)"
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The licences of all packages that are not ours.
pub(crate) fn licences() -> Vec<Licence> {
    let others = GRAPH.packages.iter().filter(|package| package.source.is_some());
    let licence = |package: &Package| Licence {
        package: format!("{} {}", package.name, package.version),
        expression: package.license.clone(),
    };
    others.map(licence).collect()
}

/// The files that git tracks, or would if they were added.
pub(crate) fn tracked_files() -> Vec<File> {
    let list = run(Command::new("git").current_dir(root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]));
    let paths = list.split_terminator('\0').map(str::to_owned);
    // A file that is gone but still tracked will be gone from git too.
    let read = |path: String| {
        let bytes = std::fs::read(root().join(&path)).ok()?;
        Some(File { path, text: String::from_utf8(bytes).unwrap_or_default() })
    };
    paths.filter_map(read).collect()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_seen() {
        assert!(members().iter().any(|name| name == "domain"));
        assert!(edges().contains(&Edge { from: "store".to_owned(), to: "sqlx".to_owned() }));
        assert!(closure("store").iter().any(|name| name == "sqlx-core"), "through sqlx");
        assert!(licences().iter().any(|licence| licence.package.starts_with("sqlx ") && licence.expression.is_some()));
        assert!(tracked_files().iter().any(|file| file.path == "crates/store/src/lib.rs" && !file.text.is_empty()));
    }
}
