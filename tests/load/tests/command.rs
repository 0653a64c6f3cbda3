//! The command, as somebody else's deployment has it.

use std::process::Command;

/// Goal: a deployment can be provisioned with what `--write-catalogue` writes, with totals of longer periods or without.
#[test]
fn the_catalogue_that_it_writes_is_one() {
    let written = |more: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        let mut load = Command::new(env!("CARGO_BIN_EXE_load"));
        let output = load.arg("--write-catalogue").arg(directory.path()).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        catalogue::load(directory.path()).unwrap().catalogue
    };
    let (plain, longer) = (written(&[]), written(&["--longer"]));
    assert_eq!((plain.data_sets().len(), longer.data_sets().len()), (5, 5));
    assert_ne!(plain.version(), longer.version());
}
