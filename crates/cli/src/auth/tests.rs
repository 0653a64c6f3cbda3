//! Goal: an operator makes keys, hands out credentials and rights, takes them back, and sees what there is; mistakes are told and change
//! nothing.

use std::{fs, path::Path};

use access::Layout;
use clap::Parser as _;
use serde_json::Value;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, macros::datetime};

use super::at;
use crate::{
    args::{Args, Command, Lang},
    audit,
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

/// A request that asks to be the operator's; whoever made it has the key.
const REQUEST: &str = "\
-----BEGIN CERTIFICATE REQUEST-----\n\
MIIBCjCBsQIBADATMREwDwYDVQQDDAhvcGVyYXRvcjBZMBMGByqGSM49AgEGCCqG\n\
SM49AwEHA0IABHFoz8X+Lti7f/oi+I8kQ/X1lZrZ0LdUI0q4YfhcB3OEd1LYB0fJ\n\
k1ggY973hCiin4/higWdHz4depm1Nl3Y2T6gPDA6BgkqhkiG9w0BCQ4xLTArMCkG\n\
A1UdEQQiMCCGHnVybjp0b25naG9wOnByaW5jaXBhbDpvcGVyYXRvcjAKBggqhkjO\n\
PQQDAgNIADBFAiEAuWxjSgeMnxHwsj9vpMLnB7JUvFdSZdxjOm7uBEx/pMACIF+7\n\
tqETgWiWQ5EP126AaGHfi8IxVdwVrwf+qea43qRz\n\
-----END CERTIFICATE REQUEST-----\n";

#[test]
fn who_keeps_their_key_gets_a_certificate_for_it() {
    let dir = keys();
    fs::write(dir.path().join("request"), REQUEST).unwrap();
    let signed = object(&dir, "issue certificate --principal xa-31498 --days 30 --csr OUT/request");
    assert_eq!((&signed["principal"], &signed["key"]), (&"xa-31498".into(), &Value::Null));
    assert!(signed["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"), "{signed}");
    ran(&dir, "issue certificate --principal xa-31498 --csr OUT/request --out OUT/xa");
    let mut there: Vec<_> =
        fs::read_dir(dir.path().join("xa")).unwrap().map(|file| file.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["ca.pem", "xa-31498.pem"]);
    fs::write(dir.path().join("request"), REQUEST.replace('B', "C")).unwrap();
    let refused = ran_at(&dir, "issue certificate --principal xa-31498 --csr OUT/request --out OUT/xa", false, NOW);
    assert!(refused.unwrap_err().message.en.contains("the request for a certificate cannot be signed"));
    assert!(ran_at(&dir, "issue certificate --principal xa-31498 --csr OUT/none --out OUT/xa", false, NOW).is_err());
    let listed = object(&dir, "list credentials --principal xa-31498");
    assert_eq!(listed["credentials"].as_array().unwrap().len(), 2);
}

#[test]
fn an_id_may_begin_like_an_option() {
    let dir = keys();
    for line in ["retire tokens -5gbWXYXaJHCQ-s6", "retire --as lan tokens -5gbWXYXaJHCQ-s6 --lang en"] {
        let refused = ran_at(&dir, line, false, NOW).unwrap_err();
        assert!(refused.message.en.contains("-5gbWXYXaJHCQ-s6"), "{}", refused.message.en);
    }
}

#[test]
fn keys_that_sign_are_rotated_and_retired() {
    let dir = keys();
    for key in ["tokens", "seal", "ca"] {
        let listed = |current: bool| {
            let listed = object(&dir, "list keys");
            let keys = listed["keys"].as_array().unwrap().clone();
            let keys = keys.into_iter().filter(|listed| listed["signs"] == key && listed["is_current"] == current);
            keys.map(|listed| listed["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let first = listed(true);
        let second = object(&dir, &format!("rotate {key}"))["id"].as_str().unwrap().to_owned();
        assert_eq!((listed(true), listed(false)), (vec![second.clone()], first.clone()));
        let shown = ran(&dir, "list keys");
        assert!(shown.contains(&format!("{key}  {}  an earlier one, still believed\n", first[0])), "{shown}");
        assert!(ran_at(&dir, &format!("retire {key} {second}"), false, NOW).is_err());
        if key == "ca" {
            ran(&dir, "init --renew --name tonghop.example");
        }
        assert_eq!(object(&dir, &format!("retire {key} {}", first[0]))["retired"], true);
        assert_eq!((listed(true), listed(false)), (vec![second], Vec::new()));
    }
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

/// Goal: whatever changes the keys directory is in its log, with who did it, and secrets are not; what only looks is not in it.
#[test]
fn what_is_done_is_written_down_first() {
    let dir = keys();
    let lines = [
        "issue certificate --principal xa-31498 --days 30 --out OUT/xa --as lan",
        "issue token --principal tinh-94 --ttl 2h --out OUT/token --as lan",
        "grant --principal tinh-94 --action submit,read --org-unit 94 --as minh",
        "ungrant --principal tinh-94 --action read --as minh",
        "revoke principal xa-31498 --why lost --as minh",
    ];
    for line in lines {
        ran(&dir, line);
    }
    ran(&dir, "list grants");
    ran(&dir, "init --name tonghop.example");
    ran_at(
        &dir,
        "grant --principal a --action read --org-unit 94 --from 2026-12-31 --until 2026-01-01 --as lan",
        false,
        NOW,
    )
    .unwrap_err();
    let layout = Layout::at(dir.path().join("keys"));
    let mut entries = audit::keys::entries(&layout).unwrap();
    entries.reverse();
    let done: Vec<_> = entries.iter().map(|entry| format!("{}: {}", entry.fields[0], entry.fields[1])).collect();
    assert!(done[0].ends_with(": auth init"), "{done:?}");
    let wanted = [
        "lan: auth issue certificate",
        "lan: auth issue token",
        "minh: auth grant",
        "minh: auth ungrant",
        "minh: auth revoke",
    ];
    assert_eq!(done[1..], wanted);
    let detail = |row: usize| serde_json::from_str::<Value>(&entries[row].fields[2]).unwrap();
    assert_eq!((&detail(3)["actions"][1], &detail(3)["org_unit"]), (&"read".into(), &"94".into()));
    assert_eq!(detail(5)["why"], "lost");
    assert_eq!(detail(1)["serial"], object(&dir, "list credentials")["credentials"][1]["id"]);
    let log = fs::read_to_string(layout.operated_log()).unwrap();
    let token = fs::read_to_string(dir.path().join("token")).unwrap();
    assert!(!log.contains(token.trim()) && !log.contains("-----BEGIN"), "{log}");
    assert_eq!(audit::keys::check(&layout, &[]).unwrap().1, []);

    // What cannot be written down is not done.
    fs::remove_file(layout.operated_log()).unwrap();
    fs::create_dir(layout.operated_log()).unwrap();
    let refused = ran_at(&dir, "grant --principal b --action read --org-unit 94", false, NOW).unwrap_err();
    assert!(refused.message.en.contains("so it is not done"), "{refused:?}");
    assert_eq!(ran(&dir, "list grants --principal b"), "there is none\n");
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
