//! Anchors: where the chains of the audit log ended, signed, a line of JSON each, in a file that the database cannot reach.

use std::{fmt::Write as _, fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::audit::Head;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::output::{Failure, both};

/// An anchor that was read, with a good signature.
#[derive(Debug)]
pub(super) struct Anchor {
    /// When it was made.
    pub(super) at: OffsetDateTime,
    pub(super) heads: Vec<Head>,
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    at: String,
    heads: Vec<LineHead>,
    signature: String,
}

#[derive(Deserialize)]
struct LineHead {
    chain: String,
    number: u64,
    hash: String,
}

/// What is signed: the instant, and each chain's name, number and hash, with tabs between and a line each.
fn signed_text(at: &str, heads: &[Head]) -> String {
    let mut text = format!("tonghop audit anchor\n{at}\n");
    for Head { chain, number, hash } in heads {
        text.push_str(&format!("{chain}\t{number}\t{}\n", hex(hash)));
    }
    text
}

pub(super) fn sign(key: &Ed25519KeyPair, heads: &[Head], at: &str) -> Value {
    let signature = key.sign(signed_text(at, heads).as_bytes());
    let heads = heads.iter().map(|head| json!({ "chain": head.chain, "number": head.number, "hash": hex(&head.hash) }));
    json!({ "at": at, "heads": heads.collect::<Vec<_>>(), "signature": hex(signature.as_ref()) })
}

/// Reads a file of anchors. Each must be signed with the key.
pub(super) fn read(file: &Path, public_key: &str) -> Result<Vec<Anchor>, Failure> {
    let name = file.display();
    let content = fs::read_to_string(file)
        .map_err(|error| Failure::caused(&format!("không đọc được {name}"), &format!("cannot read {name}"), &error))?;
    let key = unhex(public_key).map(|key| UnparsedPublicKey::new(&ED25519, key)).ok_or_else(|| {
        Failure::new(both(
            "khóa công khai phải viết bằng chữ số hệ 16",
            "the public key must be written in hexadecimal",
        ))
    })?;
    // A last line that does not end is one whose writing was cut off: the next anchor takes its place.
    let whole = content.rfind('\n').map_or("", |end| &content[..=end]);
    let is_torn = serde_json::from_str::<Line>(&content[whole.len()..]).is_err();
    let content = if is_torn { whole } else { &content };
    let lines = (1..).zip(content.lines());
    let anchors = lines.map(|(number, line)| {
        anchor(line, &key).ok_or_else(|| {
            Failure::new(both(
                format!("{name}, dòng {number}: không phải mốc neo được ký bằng khóa này"),
                format!("{name}, line {number}: this is no anchor that is signed with this key"),
            ))
        })
    });
    anchors.collect()
}

fn anchor(line: &str, key: &UnparsedPublicKey<Vec<u8>>) -> Option<Anchor> {
    let Line { at, heads, signature } = serde_json::from_str(line).ok()?;
    let heads = heads
        .into_iter()
        .map(|LineHead { chain, number, hash }| Some(Head { chain, number, hash: unhex(&hash)?.try_into().ok()? }));
    let heads: Vec<Head> = heads.collect::<Option<_>>()?;
    key.verify(signed_text(&at, &heads).as_bytes(), &unhex(&signature)?).ok()?;
    Some(Anchor { at: OffsetDateTime::parse(&at, &Rfc3339).ok()?, heads })
}

/// Makes a key that only its owner can read, and gives its public half.
pub(super) fn make_key(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    let failed = |error: io::Error| {
        Failure::caused(&format!("không tạo được khóa {name}"), &format!("cannot make the key {name}"), &error)
    };
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| failed(io::Error::other("ring")))?;
    let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| failed(io::Error::other("ring")))?;
    let mut made = fs::File::options().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    made.write_all(format!("{}\n", hex(pkcs8.as_ref())).as_bytes()).and_then(|()| made.sync_all()).map_err(failed)?;
    Ok(hex(key.public_key().as_ref()))
}

pub(super) fn open_key(file: &Path) -> Result<Ed25519KeyPair, Failure> {
    let name = file.display();
    let content = fs::read_to_string(file)
        .map_err(|error| Failure::caused(&format!("không đọc được {name}"), &format!("cannot read {name}"), &error))?;
    let key = unhex(content.trim()).and_then(|pkcs8| Ed25519KeyPair::from_pkcs8(&pkcs8).ok());
    key.ok_or_else(|| {
        Failure::new(both(
            format!("{name} không phải khóa do `tonghop audit key` tạo"),
            format!("{name} is no key that `tonghop audit key` made"),
        ))
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let written = write!(hex, "{byte:02x}");
        debug_assert!(written.is_ok(), "a String takes everything");
        hex
    })
}

pub(super) fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_read_with_the_key_that_signed_it_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let [ours, theirs, file] = ["ours", "theirs", "anchors"].map(|name| dir.path().join(name));
        let (our_public, their_public) = (make_key(&ours).unwrap(), make_key(&theirs).unwrap());
        assert!(make_key(&ours).is_err(), "a key that exists is left as it is");
        let heads = vec![Head { chain: "operated".to_owned(), number: 3, hash: [7; 32] }];
        let line = sign(&open_key(&ours).unwrap(), &heads, "2026-07-01T00:00:00Z").to_string();
        fs::write(&file, format!("{line}\n")).unwrap();
        let read_back = read(&file, &our_public).unwrap();
        assert_eq!(read_back[0].heads, heads);
        assert!(
            read(&file, &their_public)
                .unwrap_err()
                .message
                .en
                .ends_with("line 1: this is no anchor that is signed with this key")
        );
        fs::write(&file, line.replace("\"number\":3", "\"number\":2")).unwrap();
        assert!(read(&file, &our_public).is_err());
        fs::write(&file, format!("{line}\n{}", &line[..line.len() / 2])).unwrap();
        assert_eq!(read(&file, &our_public).unwrap().len(), 1, "what was cut off while it was written is none");
    }
}
