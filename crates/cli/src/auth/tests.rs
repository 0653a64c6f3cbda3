//! Goal: an operator makes keys, hands out credentials and rights, takes them back, and sees what there is; mistakes are told and change
//! nothing.

use std::{fs, path::Path};

use clap::Parser as _;
use serde_json::Value;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, macros::datetime};

use super::at;
use crate::{
    args::{Args, Command, Lang},
    output::{Failure, tests::captured},
};

const NOW: OffsetDateTime = datetime!(2026-11-22 20:00 UTC);

/// Runs `tonghop auth …` on a keys directory.
fn ran_at(dir: &TempDir, line: &str, json: bool, now: OffsetDateTime) -> Result<String, Failure> {
    let keys = dir.path().join("keys");
    let line =
        format!("tonghop auth {line} --keys {}", keys.display()).replace("OUT", &dir.path().display().to_string());
    let args = Args::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
    let Command::Auth(command) = args.command else { panic!("{line}") };
    let (output, written) = captured(json, Lang::En);
    at(&command, now, &output)?;
    Ok(written().0)
}

fn ran(dir: &TempDir, line: &str) -> String {
    ran_at(dir, line, false, NOW).unwrap()
}

fn object(dir: &TempDir, line: &str) -> Value {
    serde_json::from_str(&ran_at(dir, line, true, NOW).unwrap()).unwrap()
}

fn keys() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    assert!(ran(&dir, "init --name tonghop.example").starts_with("made "));
    dir
}

#[test]
fn keys_are_made_once() {
    let dir = keys();
    assert_eq!(ran(&dir, "init --name tonghop.example"), "every key is there already\n");
    let ca = object(&dir, "ca");
    assert_eq!(ca["fingerprint_sha256"].as_str().unwrap().split(':').count(), 32);
    assert!(ran(&dir, "ca").starts_with("the authority's certificate is valid until 2036-"));
}

#[test]
fn credentials_are_issued_listed_and_revoked() {
    let dir = keys();
    let issued = object(&dir, "issue certificate --principal xa-31498 --days 30");
    for (field, begins) in [("certificate", "-----BEGIN CERTIFICATE"), ("key", "-----BEGIN"), ("ca", "-----BEGIN CERT")]
    {
        assert!(issued[field].as_str().unwrap().starts_with(begins), "{field}");
    }
    let serial = issued["serial"].as_str().unwrap();
    assert_eq!(issued["expires"], "2026-12-22T20:00:00Z");
    let refused = ran_at(&dir, "issue certificate --principal xa-31501", false, NOW).unwrap_err();
    assert!(refused.message.en.contains("--out"), "{refused:?}");
    assert!(ran(&dir, "issue certificate --principal xa-31501 --out OUT/xa").contains("serial"));
    for file in ["xa/ca.pem", "xa/xa-31501.pem", "xa/xa-31501.key"] {
        assert!(dir.path().join(file).exists(), "{file}");
    }
    let token = ran(&dir, "issue token --principal tinh-94 --ttl 2h");
    assert_eq!(token.split('.').count(), 3, "the token and nothing else");
    let too_long = ran_at(&dir, "issue token --principal tinh-94 --ttl 1000d", false, NOW).unwrap_err();
    assert!(too_long.message.en.contains("a second to 366 days"));

    let states = |now| {
        let listed: Value = serde_json::from_str(&ran_at(&dir, "list credentials", true, now).unwrap()).unwrap();
        let state = |of: &Value| format!("{} {}", of["principal"].as_str().unwrap(), of["state"].as_str().unwrap());
        listed["credentials"].as_array().unwrap().iter().map(state).collect::<Vec<_>>()
    };
    assert_eq!(states(NOW), ["operator good", "xa-31498 good", "xa-31501 good", "tinh-94 good"]);
    let revoked = object(&dir, &format!("revoke certificate {} --why lost", serial.to_uppercase()));
    assert_eq!((revoked["is_new"].as_bool(), revoked["was_issued"].as_bool()), (Some(true), Some(true)));
    let again = object(&dir, &format!("revoke certificate {serial} --why lost"));
    assert_eq!(again["is_new"], false);
    assert_eq!(object(&dir, "revoke principal xa-31501 --why moved")["was_issued"], true);
    assert_eq!(object(&dir, "revoke token nothing --why typo")["was_issued"], false);
    let later = NOW + Duration::days(1);
    assert_eq!(states(later), ["operator good", "xa-31498 revoked", "xa-31501 revoked", "tinh-94 expired"]);
    let shown = ran(&dir, "list principals");
    assert!(shown.contains("operator  2 grants, 1 good credentials\n"), "{shown}");
    assert!(shown.contains("xa-31501  0 grants, 0 good credentials, revoked\n"), "{shown}");
}

#[test]
fn grants_are_given_and_taken() {
    let dir = keys();
    let line =
        "grant --principal tinh-94 --action submit,read --org-unit 94 --data-sets identity,campaign --until 2027-12-31";
    assert_eq!(object(&dir, line)["added"], 2);
    assert_eq!(object(&dir, line)["added"], 0);
    // It is the 23rd in Vietnam already.
    let shown = ran(&dir, "list grants --principal tinh-94");
    assert_eq!(
        shown,
        "tinh-94  submit  94  identity campaign  2026-11-23  2027-12-31\ntinh-94  read  94  identity campaign  2026-11-23  2027-12-31\n"
    );
    assert_eq!(object(&dir, "ungrant --principal tinh-94 --action read")["removed"], 1);
    assert_eq!(object(&dir, "ungrant --principal tinh-94 --org-unit *")["removed"], 0);
    assert_eq!(object(&dir, "ungrant --principal tinh-94 --org-unit 94")["removed"], 1);
    assert_eq!(ran(&dir, "list grants --principal tinh-94"), "there is none\n");
    let reversed = "grant --principal a --action read --org-unit 94 --from 2026-12-31 --until 2026-01-01";
    assert!(ran_at(&dir, reversed, false, NOW).is_err());
    let grants = dir.path().join("keys/trust/grants.csv");
    fs::write(&grants, fs::read_to_string(&grants).unwrap() + "a,send,94,*,2026-01-01,\n").unwrap();
    let wrong = ran_at(&dir, "grant --principal b --action read --org-unit 94", false, NOW).unwrap_err();
    assert!(wrong.message.en.contains("grants.csv:4: action `send` must be"), "{wrong:?}");
}

#[test]
fn every_commune_of_a_province_gets_its_own_principal() {
    let dir = keys();
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/catalogue/de06");
    let each = |below: &str| {
        let catalogue = catalogue.display();
        format!(
            "grant-each --catalogue {catalogue} --level commune --below {below} --prefix xa- --action submit,read --from 2022-01-01"
        )
    };
    let made = object(&dir, &format!("{} --certificates OUT/xa --days 10", each("94")));
    assert_eq!((made["principals"].as_u64(), made["added"].as_u64()), (Some(109), Some(218)));
    assert_eq!(fs::read_dir(dir.path().join("xa")).unwrap().count(), 218);
    assert!(dir.path().join("xa/xa-31498.pem").exists());
    let shown = ran(&dir, "list grants --principal xa-31498");
    assert!(shown.starts_with("xa-31498  submit  31498  *  2022-01-01  –\n"), "{shown}");
    let unknown = ran_at(&dir, &each("999"), false, NOW).unwrap_err();
    assert!(unknown.message.en.contains("no org unit has the code 999 on 2022-01-01"));
    let level = ran_at(&dir, &each("94").replace("--level commune", "--level ward"), false, NOW).unwrap_err();
    assert!(level.message.en.contains("the catalogue has no level ward"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |line: &str| Args::try_parse_from(format!("tonghop auth {line} --keys k").split(' ')).is_err();
    assert!(refused("issue certificate --principal Xa"));
    assert!(refused("issue certificate --principal xa --days 0"));
    assert!(refused("grant --principal xa --action send --org-unit 94"));
    assert!(refused("grant --principal xa --org-unit 94"));
    assert!(refused("grant --principal xa --action read --org-unit 9.4"));
    assert!(refused("grant --principal xa --action read --org-unit 94 --data-sets a,,b"));
    assert!(refused("revoke certificate 01"), "without a reason");
    assert!(!refused("revoke certificate 01 --why lost"));
    let dir = tempfile::tempdir().unwrap();
    let nothing = ran_at(&dir, "issue token --principal a", false, NOW).unwrap_err();
    assert!(nothing.message.en.starts_with("the keys directory cannot be used: "), "{nothing:?}");
}
