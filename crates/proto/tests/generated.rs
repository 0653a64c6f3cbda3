//! The generated code is committed, and this proves it current. After a change of a `.proto` file write it anew with
//! `TONGHOP_GENERATE=1 cargo test -p proto --test generated`.

use std::{collections::BTreeMap, fs, path::Path};

const FILES: [&str; 4] = [
    "tonghop/report/v1/report.proto",
    "tonghop/event/v1/event.proto",
    "tonghop/collector/v1/collector.proto",
    "tonghop/query/v1/query.proto",
];

#[test]
fn the_committed_code_is_what_the_protos_generate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = std::env::temp_dir().join(format!("tonghop-generated-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    let descriptors = protox::compile(FILES, [root.join("../../proto")]).unwrap();
    tonic_prost_build::configure().out_dir(&out).compile_fds(descriptors).unwrap();
    let generated = read(&out);
    fs::remove_dir_all(&out).unwrap();

    let committed = root.join("src/gen");
    if std::env::var_os("TONGHOP_GENERATE").is_some() {
        for (name, text) in &generated {
            fs::write(committed.join(name), text).unwrap();
        }
    }
    assert!(
        read(&committed) == generated,
        "src/gen is not current: TONGHOP_GENERATE=1 cargo test -p proto --test generated"
    );
}

/// File name to text, of the files with anything in them.
#[expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]
fn read(dir: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let texts = files.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap()));
    texts.filter(|(_, text)| !text.trim().is_empty()).collect()
}
