//! Wrong, foreign, expired and revoked credentials; files that are wrong; seals.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    LevelIx, OrgTree, UnitVersion,
    access::{Action, Denied, Grant, PrincipalName, Wish},
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, PublicKeyData as _, SanType,
    SigningKey as _,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::{
    Duration, OffsetDateTime,
    macros::{date, datetime},
};
use tokio_rustls::rustls;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    Access, AccessConfig, Authority, Credential, FileError, Issued, Layout, Unauthenticated, grants,
    keys::{self, KeysError, OPERATOR},
    revocations::{self, Revocation, Subject},
    rotation::{self, Signs},
    seal::{SealError, Sealer},
};

const NOW: OffsetDateTime = datetime!(2026-11-22 08:00 UTC);

/// Keys of their own, gone with this.
struct World {
    dir: TempDir,
    keys: Layout,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Layout::at(dir.path().join("keys"));
        keys::init(&keys, &["tonghop.example".to_owned()], NOW).unwrap();
        Self { dir, keys }
    }

    fn access(&self) -> Access {
        // So seldom that a test looks by itself.
        Access::open(&AccessConfig { reread_every_ms: 10_000, ..AccessConfig::to(self.keys.trust()) }).unwrap()
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.keys).unwrap()
    }

    /// A token with this header and these claims, signed with the authority's key as EdDSA would.
    fn token(&self, header: &Value, claims: &Value) -> String {
        let key = KeyPair::from_pem(&fs::read_to_string(self.keys.authority("tokens.key")).unwrap()).unwrap();
        signed(&key, header, claims)
    }

    fn key_id(&self) -> String {
        let set: Value = serde_json::from_str(&fs::read_to_string(self.keys.token_keys()).unwrap()).unwrap();
        set["keys"][0]["kid"].as_str().unwrap().to_owned()
    }
}

fn name(name: &str) -> PrincipalName {
    name.parse().unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn signed(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn claims() -> Value {
    let exp = (NOW + Duration::hours(1)).unix_timestamp();
    json!({ "iss": "tonghop", "aud": "tonghop", "sub": "ward-1", "jti": "t1", "exp": exp })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_made_once_and_secrets_are_their_owners() {
    let world = World::new();
    let again = keys::init(&world.keys, &["tonghop.example".to_owned()], NOW + Duration::days(300)).unwrap();
    assert!(again.is_empty(), "{again:?}");
    for secret in ["authority/ca.key", "authority/tokens.key", "collector/seal.key", "query/postgres.password"] {
        assert_eq!(mode(&world.keys.dir().join(secret)), 0o600, "{secret}");
    }
    assert_eq!((mode(&world.keys.of("authority")), mode(&world.keys.trust())), (0o700, 0o755));
    for public in fs::read_dir(world.keys.trust()).unwrap() {
        assert_eq!(mode(&public.unwrap().path()), 0o644);
    }
    let users = keys::nats_users(&world.keys).unwrap();
    assert_eq!(users.len(), 7);
    assert!(users.iter().all(|(_, public)| public.starts_with('U')));
    let (about, fingerprint) = keys::authority(&world.keys).unwrap();
    assert_eq!((about.expires.year(), fingerprint.len()), (2036, 95));
}

#[test]
fn two_that_make_keys_at_once_make_them_once() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Layout::at(dir.path());
    let made: Vec<usize> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..3).map(|_| scope.spawn(|| keys::init(&keys, &[], NOW).unwrap().len())).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|made| **made > 0).count(), 1, "{made:?}");
}

#[test]
fn a_server_gets_a_new_certificate_for_another_name_and_before_the_old_one_ends() {
    let world = World::new();
    let servers = ["collector", "query", "nats", "postgres"];
    let wanted: Vec<_> =
        servers.iter().flat_map(|who| ["key", "pem"].map(|end| format!("{who}/server.{end}"))).collect();
    let made = |names: &[&str], now| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = keys::init(&world.keys, &names, now).unwrap();
        made.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(made(&["tonghop.example", "10.1.2.3"], NOW), wanted);
    assert!(made(&["10.1.2.3"], NOW).is_empty());
    let late = made(&["10.1.2.3"], NOW + Duration::days(700));
    assert_eq!(late[..8], wanted);
    assert_eq!(late[8..], ["operator/client.key", "operator/client.pem"]);
}

#[test]
fn half_an_authority_is_not_made_whole() {
    let world = World::new();
    fs::remove_file(world.keys.authority("ca.key")).unwrap();
    let error = keys::init(&world.keys, &[], NOW).unwrap_err();
    assert!(matches!(&error, KeysError::Half { missing, .. } if missing.ends_with("authority/ca.key")), "{error}");
}

#[tokio::test]
async fn a_certificate_says_who_holds_it_for_as_long_as_it_is_good() {
    let world = World::new();
    let access = world.access();
    let issued = world.authority().issue_certificate(&name("ward-1"), Duration::days(1), NOW).unwrap();
    let certificate = der(&issued.certificate);
    let principal = access.authenticate(Some(&certificate), None, NOW).unwrap();
    assert_eq!(principal.name, name("ward-1"));
    assert_eq!(principal.credential, Credential::Certificate(issued.issued.id.clone()));
    assert_eq!(principal.expires, NOW + Duration::days(1));
    // Before and after it was remembered.
    let late = NOW + Duration::days(1) + Duration::SECOND;
    assert_eq!(access.authenticate_certificate(&certificate, late), Err(Unauthenticated::Expired));
    assert_eq!(world.access().authenticate_certificate(&certificate, late), Err(Unauthenticated::Expired));
    let early = world.access().authenticate_certificate(&certificate, NOW - Duration::days(1));
    assert_eq!(early, Err(Unauthenticated::Invalid("the certificate is not valid yet")));
    let known = Issued::read(&world.keys).unwrap();
    assert_eq!(known.iter().map(|issued| issued.principal.as_str()).collect::<Vec<_>>(), [OPERATOR, "ward-1"]);
}

#[tokio::test]
async fn certificates_of_others_prove_nothing() {
    let world = World::new();
    let access = world.access();
    let refused = |der: &[u8], why| {
        assert_eq!(access.authenticate_certificate(der, NOW), Err(Unauthenticated::Invalid(why)));
    };
    let stranger = World::new().authority().issue_certificate(&name("ward-1"), Duration::days(1), NOW).unwrap();
    refused(&der(&stranger.certificate), "the certificate was not issued by this system");
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let own = CertificateParams::new(vec!["ward-1".to_owned()]).unwrap().self_signed(&key).unwrap();
    refused(own.der(), "the certificate was not issued by this system");
    refused(b"nonsense", "the certificate cannot be read");
    let server = fs::read_to_string(world.keys.server_certificate("query")).unwrap();
    refused(&der(&server), "the certificate is not a client's");
    // May be a client, of the other servers of its cluster.
    let nats = fs::read_to_string(world.keys.server_certificate("nats")).unwrap();
    refused(&der(&nats), "the certificate names no principal");
    assert_eq!(access.authenticate(None, None, NOW), Err(Unauthenticated::Missing));
}

#[tokio::test]
async fn a_token_says_whose_it_is_until_it_ends() {
    let world = World::new();
    let access = world.access();
    let issued = world.authority().issue_token(&name("ward-1"), Duration::hours(1), None, NOW).unwrap();
    let header = format!("Bearer {}", issued.token);
    let principal = access.authenticate(None, Some(&header), NOW).unwrap();
    assert_eq!((principal.name, principal.credential), (name("ward-1"), Credential::Token(issued.issued.id)));
    let after =
        |seconds| access.authenticate(None, Some(&header), NOW + Duration::hours(1) + Duration::seconds(seconds));
    assert!(after(29).is_ok(), "clocks differ");
    assert_eq!(after(31), Err(Unauthenticated::Expired));
    let fresh = world.access().authenticate(None, Some(&header), NOW + Duration::hours(2));
    assert_eq!(fresh, Err(Unauthenticated::Expired));
    // Who has a certificate as well is whom the token names, and nobody where it is wrong.
    let operator = der(&fs::read_to_string(world.keys.operator_certificate()).unwrap());
    assert_eq!(access.authenticate(Some(&operator), Some(&header), NOW).unwrap().name, name("ward-1"));
    for wrong in ["Bearer x", "Basic b3BlcmF0b3I6", "", &issued.token] {
        let refused = access.authenticate(Some(&operator), Some(wrong), NOW);
        assert!(matches!(refused, Err(Unauthenticated::Invalid(_))), "{wrong:?}: {refused:?}");
    }
}

#[tokio::test]
async fn tokens_that_were_made_up_prove_nothing() {
    let world = World::new();
    let access = world.access();
    let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": world.key_id() });
    assert!(
        access.authenticate_token(&world.token(&header, &claims()), NOW).is_ok(),
        "the others differ from this one"
    );

    let with = |member: &str, value: Value| {
        let mut claims = claims();
        claims[member] = value;
        world.token(&header, &claims)
    };
    let without = |member: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(member);
        world.token(&header, &claims)
    };
    let lacks = "the token lacks one of iss, aud, sub, jti, exp";
    let good = world.token(&header, &claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let stranger = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let public = fs::read(world.keys.token_keys()).unwrap();
    let hs256 = {
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": world.key_id() });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes())))
    };
    let none = json!({ "alg": "none", "kid": world.key_id() });
    for (what, token, why) in [
        ("alg none", world.token(&none, &claims()), "the token cannot be read"),
        ("HS256 with the public key", hs256, "the token is not signed with EdDSA"),
        ("no signature", format!("{message}."), "the token's signature is wrong"),
        ("of another key", signed(&stranger, &header, &claims()), "the token's signature is wrong"),
        (
            "a key of its own",
            signed(&stranger, &json!({ "alg": "EdDSA", "kid": "mine" }), &claims()),
            "the token's key is not known",
        ),
        ("no key id", world.token(&json!({ "alg": "EdDSA" }), &claims()), "the token's key is not known"),
        ("another audience", with("aud", json!("vneid")), "the token is for somebody else"),
        ("another issuer", with("iss", json!("vneid")), "the token was issued by somebody else"),
        ("not yet", with("nbf", json!(NOW.unix_timestamp() + 60)), "the token is not valid yet"),
        ("no such name", with("sub", json!("Ward 1")), "the token's `sub` is no principal's name"),
        ("an empty id", with("jti", json!("")), "the token has no `jti`"),
        ("no exp", without("exp"), lacks),
        ("no aud", without("aud"), lacks),
        ("no iss", without("iss"), lacks),
        ("no sub", without("sub"), lacks),
        ("no jti", without("jti"), lacks),
        ("no token", "a.b.c".to_owned(), "the token cannot be read"),
        ("too long", "a".repeat(10_000), "the token is too long"),
    ] {
        assert_eq!(access.authenticate_token(&token, NOW), Err(Unauthenticated::Invalid(why)), "{what}");
    }
    let foreign = World::new().authority().issue_token(&name("ward-1"), Duration::hours(1), None, NOW).unwrap();
    let refused = access.authenticate_token(&foreign.token, NOW);
    assert_eq!(refused, Err(Unauthenticated::Invalid("the token's key is not known")));
    let elsewhere = world.authority().issue_token(&name("ward-1"), Duration::hours(1), Some("vneid"), NOW).unwrap();
    let refused = access.authenticate_token(&elsewhere.token, NOW);
    assert_eq!(refused, Err(Unauthenticated::Invalid("the token is for somebody else")));
}

#[tokio::test]
async fn what_is_revoked_is_refused_from_the_next_look_on() {
    let world = World::new();
    let (access, authority) = (world.access(), world.authority());
    let one = authority.issue_certificate(&name("ward-1"), Duration::days(1), NOW).unwrap();
    let other = authority.issue_certificate(&name("ward-1"), Duration::days(1), NOW).unwrap();
    let token = authority.issue_token(&name("ward-2"), Duration::days(1), None, NOW).unwrap();
    let (one, other, token) = ((one.issued.id, der(&one.certificate)), der(&other.certificate), token);
    let held = access.authenticate_certificate(&one.1, NOW).unwrap();
    let mut changes = access.changes();

    // A serial number as other programs print it.
    let serial = one.0.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap()).collect::<Vec<_>>().join(":");
    let revoke = |subject, id: &str| {
        let added =
            revocations::add(&world.keys, Revocation::new(subject, id, NOW, "lost, with a \"laptop\"")).unwrap();
        access.reread().unwrap();
        added
    };
    assert!(revoke(Subject::Certificate, &serial.to_uppercase()));
    changes.next().await;
    assert_eq!(access.authenticate_certificate(&one.1, NOW), Err(Unauthenticated::Revoked));
    assert_eq!(access.still(&held, NOW), Err(Unauthenticated::Revoked));
    assert!(access.authenticate_certificate(&other, NOW).is_ok());
    assert!(access.authenticate_token(&token.token, NOW).is_ok());
    assert!(!revoke(Subject::Certificate, &one.0), "once");
    assert!(revoke(Subject::Token, &token.issued.id));
    assert_eq!(access.authenticate_token(&token.token, NOW), Err(Unauthenticated::Revoked));
    assert!(revoke(Subject::Principal, "ward-1"));
    assert_eq!(access.authenticate_certificate(&other, NOW), Err(Unauthenticated::Revoked));
    let kept = revocations::read(&world.keys).unwrap();
    assert_eq!((kept.len(), kept[0].why.as_str()), (3, "lost, with a \"laptop\""));
}

#[tokio::test]
async fn whose_credentials_were_is_known_when_they_are_good_no_longer() {
    let world = World::new();
    let (access, authority) = (world.access(), world.authority());
    let certificate = der(&authority.issue_certificate(&name("ward-1"), Duration::days(1), NOW).unwrap().certificate);
    let token = authority.issue_token(&name("ward-2"), Duration::hours(1), None, NOW).unwrap().token;
    let header = format!("Bearer {token}");
    for name in ["ward-1", "ward-2"] {
        revocations::add(&world.keys, Revocation::new(Subject::Principal, name, NOW, "lost")).unwrap();
    }
    access.reread().unwrap();
    let later = NOW + Duration::days(9);
    assert_eq!(access.authenticate(Some(&certificate), None, later), Err(Unauthenticated::Expired));
    assert_eq!(access.once(Unauthenticated::Expired, Some(&certificate), None), Some(name("ward-1")));
    assert_eq!(access.authenticate(None, Some(&header), NOW), Err(Unauthenticated::Revoked));
    assert_eq!(
        access.once(Unauthenticated::Revoked, Some(&certificate), Some(&header)),
        Some(name("ward-2")),
        "the header decides"
    );
    let elsewhere = World::new();
    let stranger = elsewhere.authority();
    let foreign = der(&stranger.issue_certificate(&name("ward-1"), Duration::days(1), NOW).unwrap().certificate);
    let made_up =
        format!("Bearer {}", stranger.issue_token(&name("ward-1"), Duration::days(1), None, NOW).unwrap().token);
    for (certificate, header) in
        [(Some(&foreign[..]), None), (None, Some(&made_up[..])), (Some(b"nonsense"), None), (None, None)]
    {
        assert_eq!(access.once(Unauthenticated::Expired, certificate, header), None);
    }
    assert_eq!(access.once(Unauthenticated::Missing, Some(&certificate), None), None);
}

/// Goal: who keeps their key to themselves gets a certificate as everybody else's: for that name and use, and as long; whatever the
/// request asks for.
#[tokio::test]
async fn a_request_gets_its_key_signed_and_nothing_else() {
    let world = World::new();
    let (access, authority) = (world.access(), world.authority());
    let request = |key: &KeyPair| {
        let mut params = CertificateParams::new(vec!["collector".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("urn:tonghop:principal:operator".try_into().unwrap()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serialize_request(key).unwrap()
    };
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let pem = request(&key).pem().unwrap();
        let signed = authority.issue_certificate_for(&pem, &name("ward-1"), Duration::days(30), NOW).unwrap();
        let certificate = der(&signed.certificate);
        let principal = access.authenticate_certificate(&certificate, NOW).unwrap();
        assert_eq!((principal.name, principal.expires), (name("ward-1"), NOW + Duration::days(30)));
        let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
        assert_eq!(parsed.public_key().raw, key.subject_public_key_info());
        assert!(!parsed.is_ca() && parsed.subject().to_string() == "CN=ward-1", "{parsed:?}");
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        let uses = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(uses.client_auth && !uses.server_auth, "{uses:?}");
        assert_eq!(Issued::read(&world.keys).unwrap().last(), Some(&signed.issued));
    }
    let issued = Issued::read(&world.keys).unwrap().len();
    let good = request(&KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap());
    let mut forged = good.der().to_vec();
    let place = forged.windows(9).position(|bytes| bytes == b"collector").unwrap();
    forged[place] = b'C';
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        base64::engine::general_purpose::STANDARD.encode(forged)
    );
    let certificate = fs::read_to_string(world.keys.operator_certificate()).unwrap();
    for wrong in ["", "nonsense", &forged, &certificate, &"a".repeat(100_000)] {
        let refused = authority.issue_certificate_for(wrong, &name("ward-1"), Duration::days(30), NOW);
        assert!(matches!(refused, Err(KeysError::Request(_))), "{wrong:.100}: {refused:?}");
    }
    assert_eq!(Issued::read(&world.keys).unwrap().len(), issued, "what is not signed is not noted");
}

/// The key that signs, and the others that are believed.
fn believed(world: &World, signs: Signs) -> (String, Vec<String>) {
    let all = rotation::believed(&world.keys).unwrap();
    let of = |current| {
        let keys = all.iter().filter(move |key| key.signs == signs && key.is_current == Some(current));
        keys.map(|key| key.id.clone()).collect::<Vec<_>>()
    };
    (of(true).remove(0), of(false))
}

#[tokio::test]
async fn tokens_of_an_old_key_are_good_until_it_is_retired() {
    let world = World::new();
    let access = world.access();
    let token = || world.authority().issue_token(&name("ward-1"), Duration::days(1), None, NOW).unwrap().token;
    let old = token();
    let held = access.authenticate_token(&old, NOW).unwrap();
    // What another program wrote of a key stays.
    let set = fs::read_to_string(world.keys.token_keys()).unwrap().replace("\"kty\"", "\"use\": \"sig\", \"kty\"");
    fs::write(world.keys.token_keys(), set).unwrap();
    let (first, _) = believed(&world, Signs::Tokens);
    let second = rotation::rotate(&world.keys, Signs::Tokens, NOW).unwrap();
    assert_eq!(believed(&world, Signs::Tokens), (second.clone(), vec![first.clone()]));
    assert!(fs::read_to_string(world.keys.token_keys()).unwrap().contains("\"use\": \"sig\""));
    let new = token();
    access.reread().unwrap();
    assert!([&old, &new].into_iter().all(|token| access.authenticate_token(token, NOW).is_ok()));
    assert_eq!(access.still(&held, NOW), Ok(()));

    let refused = rotation::retire(&world.keys, Signs::Tokens, &second).unwrap_err();
    assert!(matches!(refused, KeysError::Signs(_)), "{refused}");
    rotation::retire(&world.keys, Signs::Tokens, &first).unwrap();
    let again = rotation::retire(&world.keys, Signs::Tokens, &first).unwrap_err();
    assert!(matches!(again, KeysError::Unknown(_)), "{again}");
    access.reread().unwrap();
    let unknown = Unauthenticated::Invalid("the token's key is not known");
    assert_eq!(access.authenticate_token(&old, NOW), Err(unknown));
    assert_eq!(access.still(&held, NOW), Err(Unauthenticated::Invalid("the token's key is not believed any more")));
    assert!(access.authenticate_token(&new, NOW).is_ok());
    assert_eq!(keys::init(&world.keys, &[], NOW).unwrap(), Vec::<std::path::PathBuf>::new(), "nothing is missing");
}

#[tokio::test]
async fn seals_of_an_old_key_are_good_until_it_is_retired() {
    let world = World::new();
    let access = world.access();
    let sealer = Sealer::open(&world.keys.seal_key()).unwrap();
    let old = sealer.seal(b"payload").unwrap();
    let (first, _) = believed(&world, Signs::Seals);
    rotation::rotate(&world.keys, Signs::Seals, NOW).unwrap();
    sealer.reread().unwrap();
    let new = sealer.seal(b"payload").unwrap();
    assert_ne!(old, new);
    let check = |seal: &str| access.check_seal(Some(seal), b"payload");
    assert_eq!((check(&old), check(&new)), (Ok(()), Ok(())), "a key that is not known is looked for");
    rotation::retire(&world.keys, Signs::Seals, &first).unwrap();
    access.reread().unwrap();
    assert_eq!((check(&old), check(&new)), (Err(SealError::UnknownKey), Ok(())));
    fs::write(world.keys.seal_key(), "nonsense").unwrap();
    sealer.reread().unwrap_err();
    assert_eq!(check(&sealer.seal(b"payload").unwrap()), Ok(()), "the last good key stays");
}

#[tokio::test]
async fn certificates_of_an_old_authority_are_good_until_it_is_retired() {
    let world = World::new();
    let names = ["tonghop.example".to_owned()];
    let access = world.access();
    let issue =
        || der(&world.authority().issue_certificate(&name("ward-1"), Duration::days(9), NOW).unwrap().certificate);
    let old = issue();
    let held = access.authenticate_certificate(&old, NOW).unwrap();
    let (first, _) = believed(&world, Signs::Certificates);
    rotation::rotate(&world.keys, Signs::Certificates, NOW).unwrap();
    let new = issue();
    access.reread().unwrap();
    assert!([&old, &new].into_iter().all(|der| access.authenticate_certificate(der, NOW).is_ok()));
    assert_eq!(keys::init(&world.keys, &names, NOW).unwrap().len(), 0, "servers show what everybody knows");
    let in_use = rotation::retire(&world.keys, Signs::Certificates, &first).unwrap_err();
    assert!(matches!(&in_use, KeysError::InUse { path, .. } if path.ends_with("collector/server.pem")), "{in_use}");
    assert_eq!(keys::renew(&world.keys, &names, NOW).unwrap().len(), 10);
    assert_eq!(keys::renew(&world.keys, &names, NOW).unwrap().len(), 0);
    rotation::retire(&world.keys, Signs::Certificates, &first).unwrap();
    access.reread().unwrap();
    let foreign = Unauthenticated::Invalid("the certificate was not issued by this system");
    assert_eq!(access.authenticate_certificate(&old, NOW), Err(foreign));
    assert_eq!(access.still(&held, NOW), Err(Unauthenticated::Invalid("its authority is not believed any more")));
    assert!(access.authenticate_certificate(&new, NOW).is_ok());
    assert_eq!(fs::read(world.keys.ca()).unwrap(), fs::read(world.keys.of("nats").join("ca.pem")).unwrap());
    // Half a change is not worked with.
    let other = World::new();
    fs::copy(other.keys.authority("ca.key"), world.keys.authority("ca.key")).unwrap();
    assert!(Authority::open(&world.keys).unwrap_err().to_string().contains("does not fit ca.key"));
}

fn tree() -> OrgTree {
    let row = |code: &str, parent: Option<&str>, level| UnitVersion {
        code: code.parse().unwrap(),
        name: code.to_owned(),
        level: LevelIx::new(level),
        kind: String::new(),
        parent: parent.map(|parent| parent.parse().unwrap()),
        valid_from: None,
        valid_to: None,
    };
    OrgTree::new(&[row("VN", None, 0), row("94", Some("VN"), 1), row("31498", Some("94"), 2)], Vec::new()).unwrap()
}

fn submit<'a>(org_unit: &'a str, data_set: &'a str) -> Wish<'a> {
    let (of, on) = (date!(2022 - 11 - 30), date!(2026 - 11 - 22));
    Wish { action: Action::Submit, org_unit, data_set: Some(data_set), of, on }
}

fn grant(principal: &str, org_unit: &str) -> Grant {
    Grant {
        principal: name(principal),
        action: Action::Submit,
        org_unit: Some(org_unit.parse().unwrap()),
        data_sets: Some(vec!["identity".parse().unwrap(), "campaign".parse().unwrap()]),
        from: date!(2022 - 01 - 01),
        until: Some(date!(2030 - 12 - 31)),
    }
}

#[tokio::test]
async fn grants_are_given_and_taken_while_the_service_runs() {
    let world = World::new();
    let access = world.access();
    let may = |principal: &str, wish: Wish<'_>| access.may(&name(principal), &wish, &tree());
    assert_eq!(may("province-94", submit("31498", "identity")), Err(Denied::Action));
    assert_eq!(may(OPERATOR, submit("31498", "identity")), Err(Denied::Action), "the operator submits nothing");
    assert_eq!(may(OPERATOR, Wish { action: Action::Read, ..submit("31498", "identity") }), Ok(()));

    let wanted = vec![grant("province-94", "94"), grant("ward-31498", "31498")];
    assert_eq!(grants::add(&world.keys, wanted.clone()).unwrap(), 2);
    assert_eq!(grants::add(&world.keys, wanted.clone()).unwrap(), 0, "they are there already");
    assert_eq!(grants::read(&world.keys).unwrap()[2..], wanted, "read as they were written");
    access.reread().unwrap();
    assert_eq!(may("province-94", submit("31498", "identity")), Ok(()));
    assert_eq!(may("ward-31498", submit("94", "identity")), Err(Denied::OrgUnit));
    assert_eq!(may("province-94", submit("31498", "organisation")), Err(Denied::DataSet));

    assert_eq!(grants::remove(&world.keys, |grant| grant.principal.as_str() == "province-94").unwrap(), 1);
    access.reread().unwrap();
    assert_eq!(may("province-94", submit("31498", "identity")), Err(Denied::Action));
}

#[tokio::test]
async fn a_wrong_line_is_named_and_the_last_good_state_stays() {
    let world = World::new();
    grants::add(&world.keys, vec![grant("ward-31498", "31498")]).unwrap();
    let access = world.access();
    let header = "principal,action,org_unit,data_sets,from,until\n";
    for (text, line, what) in [
        ("ward-1,send,94,*,2022-01-01,\n", 2, "action `send` must be submit, read or operate"),
        ("Ward 1,submit,94,*,2022-01-01,\n", 2, "principal `Ward 1` must be 1 to 64 characters of a-z"),
        ("a,read,*,*,2022-01-01,\na,read,9 4,*,2022-01-01,\n", 3, "org_unit `9 4` must be 1 to 16 characters"),
        ("a,read,94,,2022-01-01,\n", 2, "data_sets `` must be * or codes with spaces between"),
        ("a,read,94,*,01/01/2022,\n", 2, "from `01/01/2022` must be a day such as 2026-12-31"),
        ("a,read,94,*,2022-01-01,2021-01-01\n", 2, "until `2021-01-01` must be no earlier than from"),
        ("a,read,94\n", 2, "found record with 3 fields"),
    ] {
        fs::write(world.keys.grants(), format!("{header}{text}")).unwrap();
        let error = access.reread().unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(&format!("trust/grants.csv:{line}: ")) && shown.contains(what), "{shown}");
        assert_eq!(access.may(&name("ward-31498"), &submit("31498", "identity"), &tree()), Ok(()), "{text}");
    }
    fs::write(world.keys.grants(), "principal,action\n").unwrap();
    assert!(access.reread().unwrap_err().to_string().contains("grants.csv:1: the columns must be principal,action,"));
    fs::write(world.keys.grants(), header).unwrap();
    fs::write(world.keys.seal_keys(), "{}").unwrap();
    assert!(matches!(access.reread(), Err(FileError::Wrong { path, .. }) if path.ends_with("trust/seals.json")));
    fs::remove_file(world.keys.revoked()).unwrap();
    assert!(matches!(access.reread(), Err(FileError::Io { path, .. }) if path.ends_with("trust/revoked.csv")));
    assert_eq!(access.may(&name("ward-31498"), &submit("31498", "identity"), &tree()), Ok(()));
    let opened = Access::open(&AccessConfig::to(world.keys.trust()));
    assert!(opened.is_err(), "who begins with files that are wrong does not begin");
}

#[tokio::test]
async fn a_change_is_seen_without_being_asked_for() {
    let world = World::new();
    let access = Access::open(&AccessConfig { reread_every_ms: 10, ..AccessConfig::to(world.keys.trust()) }).unwrap();
    let mut changes = access.changes();
    grants::add(&world.keys, vec![grant("ward-31498", "31498")]).unwrap();
    changes.next().await;
    assert_eq!(access.may(&name("ward-31498"), &submit("31498", "identity"), &tree()), Ok(()));
}

/// Goal: whoever has reports denied, or makes up keys of seals, does not have files read by it; and a change is seen all the same.
#[tokio::test(start_paused = true)]
async fn files_are_read_again_only_where_they_may_have_changed() {
    let world = World::new();
    let access = world.access();
    let might = || access.might(&name("ward-31498"), &submit("31498", "identity"), &tree());
    let denied = |times: usize| (0..times).for_each(|_| assert_eq!(might(), Err(Denied::Action)));
    // Within the file system's instant a file may change again unseen.
    let before = access.reads();
    denied(1);
    assert_eq!(access.reads(), before + 5);
    let settles = || tokio::time::advance(std::time::Duration::from_secs(3));
    settles().await;
    denied(1);
    let settled = access.reads();
    let foreign = Sealer::open(&World::new().keys.seal_key()).unwrap().seal(b"payload").unwrap();
    for _ in 0..100 {
        denied(1);
        assert_eq!(access.check_seal(Some(&foreign), b"payload"), Err(SealError::UnknownKey));
        access.reread().unwrap();
    }
    assert_eq!(access.reads(), settled, "nothing has changed");

    // In its place, as the commands do, and written over, as an editor may.
    grants::add(&world.keys, vec![grant("ward-31498", "31498")]).unwrap();
    assert_eq!(might(), Ok(()));
    assert_eq!(access.reads(), settled + 1, "the one file that is another");
    let text = fs::read_to_string(world.keys.grants()).unwrap();
    fs::write(world.keys.grants(), text.replace("ward-31498", "ward-31499")).unwrap();
    access.reread().unwrap();
    denied(2);
    settles().await;
    denied(1);

    // What is wrong is read once, and told by every look.
    fs::write(world.keys.grants(), "principal,action\n").unwrap();
    settles().await;
    access.reread().unwrap_err();
    settles().await;
    access.reread().unwrap_err();
    let read = access.reads();
    assert!(access.reread().unwrap_err().to_string().contains("grants.csv:1: the columns must be"));
    denied(10);
    assert_eq!(access.reads(), read);
}

#[tokio::test]
async fn a_seal_is_of_one_payload_and_one_key() {
    let world = World::new();
    let access = world.access();
    let sealer = Sealer::open(&world.keys.seal_key()).unwrap();
    let seal = sealer.seal(b"payload").unwrap();
    assert_eq!(access.check_seal(Some(&seal), b"payload"), Ok(()));
    assert_eq!(access.check_seal(Some(&seal), b"payloaf"), Err(SealError::Wrong));
    assert_eq!(access.check_seal(None, b"payload"), Err(SealError::Missing));
    for malformed in ["", "x", ".", "a.!"] {
        assert!(access.check_seal(Some(malformed), b"payload").is_err(), "{malformed:?}");
    }
    let stranger = Sealer::open(&World::new().keys.seal_key()).unwrap().seal(b"payload").unwrap();
    assert_eq!(access.check_seal(Some(&stranger), b"payload"), Err(SealError::UnknownKey));
    let (id, _) = seal.split_once('.').unwrap();
    let (_, signature) = stranger.split_once('.').unwrap();
    assert_eq!(access.check_seal(Some(&format!("{id}.{signature}")), b"payload"), Err(SealError::Wrong));
    assert!(Sealer::open(&world.dir.path().join("keys/query/server.key")).is_err(), "a key of another kind");
}

/// A server of HTTPS with the certificate of `collector`, that answers every request with what `body` holds by then.
fn serve(keys: &Layout, body: Arc<Mutex<String>>) -> String {
    let certificate = CertificateDer::from_pem_file(keys.server_certificate("collector")).unwrap();
    let key = PrivateKeyDer::from_pem_file(keys.server_key("collector")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/jwks.json", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, tcp.unwrap()));
            let mut line = String::new();
            // A client that believes nothing goes away.
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let body = body.lock().unwrap().clone();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            drop(stream.get_mut().write_all((head + &body).as_bytes()));
        }
    });
    url
}

#[tokio::test]
async fn keys_at_a_url_are_believed_beside_those_of_the_files() {
    let (world, other) = (World::new(), World::new());
    let body = Arc::new(Mutex::new(fs::read_to_string(other.keys.token_keys()).unwrap()));
    let jwks_url = Some(serve(&world.keys, Arc::clone(&body)));
    let issuer = "vneid".to_owned();
    let config = AccessConfig { jwks_url, issuer, reread_every_ms: 10_000, ..AccessConfig::to(world.keys.trust()) };
    let access = Access::open(&config).unwrap();
    access.changes().next().await;
    let issued = |keys: &World, by: &str| {
        let mut claims = claims();
        claims["iss"] = json!(by);
        keys.token(&json!({ "alg": "EdDSA", "kid": keys.key_id() }), &claims)
    };
    let token = |keys: &World| issued(keys, "vneid");
    for token in [issued(&world, "tonghop"), token(&world), token(&other)] {
        assert_eq!(access.authenticate_token(&token, NOW).unwrap().name, name("ward-1"));
    }
    // Who holds those keys issues no tokens in our name.
    let refused = access.authenticate_token(&issued(&other, "tonghop"), NOW);
    assert_eq!(refused, Err(Unauthenticated::Invalid("the token was issued by somebody else")));
    // A change of the files leaves them; nonsense in their place too.
    grants::add(&world.keys, vec![grant("ward-31498", "31498")]).unwrap();
    access.reread().unwrap();
    assert!(access.authenticate_token(&token(&other), NOW).is_ok());
    "nonsense".clone_into(&mut body.lock().unwrap());
    assert!(access.refetch().unwrap_err().to_string().contains("is not a key set"));
    assert!(access.authenticate_token(&token(&other), NOW).is_ok());
    *body.lock().unwrap() = fs::read_to_string(world.keys.token_keys()).unwrap();
    access.refetch().unwrap();
    assert!(access.authenticate_token(&token(&other), NOW).is_err(), "they are gone");
}

#[tokio::test]
async fn keys_at_a_url_come_from_a_server_that_is_known_and_over_tls() {
    let (world, stranger) = (World::new(), World::new());
    let url = serve(&stranger.keys, Arc::new(Mutex::new(fs::read_to_string(stranger.keys.token_keys()).unwrap())));
    for url in [url.clone(), url.replace("https", "http")] {
        let config =
            AccessConfig { jwks_url: Some(url), reread_every_ms: 10_000, ..AccessConfig::to(world.keys.trust()) };
        let access = Access::open(&config).unwrap();
        access.refetch().unwrap_err();
        let token = stranger.authority().issue_token(&name("ward-1"), Duration::hours(1), None, NOW).unwrap().token;
        assert!(access.authenticate_token(&token, NOW).is_err());
    }
}
