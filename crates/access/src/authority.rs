//! Issuing certificates and tokens. Needs the keys that nobody but the operator has.

use std::{net::IpAddr, ops::RangeInclusive, path::Path};

use domain::access::PrincipalName;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKey, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, ServerName, UnixTime, pem::PemObject as _};
use time::{Duration, OffsetDateTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};
use x509_parser::{
    certificate::X509Certificate, certification_request::X509CertificationRequest, prelude::FromDer as _,
};

use crate::{
    AUDIENCE, About, FileError, ISSUER, Issued, Kind, Layout, Locked, PRINCIPAL_URI, certificate, file, key_set,
    keys::KeysError,
    layout,
    token::{self, Claims},
    trust,
};

/// How long an authority's certificate is valid.
const AUTHORITY_DAYS: i64 = 3_650;

/// The longest request for a certificate that is read.
const MOST_REQUEST_BYTES: usize = 64 * 1024;

/// A certificate is valid from a little before it was made: clocks differ.
const BEFORE: Duration = Duration::hours(1);

/// Signs certificates and tokens.
pub struct Authority {
    keys: Layout,
    issuer: Issuer<'static, KeyPair>,
    tokens: KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// A client's certificate and its key, to be handed over.
#[derive(Clone)]
pub struct IssuedCertificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// What was noted of it.
    pub issued: Issued,
}

/// A client's certificate for a key that only its owner has.
#[derive(Clone, Debug)]
pub struct SignedCertificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// What was noted of it.
    pub issued: Issued,
}

/// A token, to be handed over.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// What was noted of it.
    pub issued: Issued,
}

impl std::fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.issued.fmt(f)
    }
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.issued.fmt(f)
    }
}

impl Authority {
    /// The authority of a keys directory.
    ///
    /// # Errors
    /// When its keys cannot be read.
    pub fn open(keys: &Layout) -> Result<Self, KeysError> {
        let path = keys.authority(layout::CA);
        let (ca, key) = (file::read(&path)?, read_key(&keys.authority(layout::CA_KEY))?);
        if !fit(&ca, &key) {
            return Err(FileError::wrong(&path, "does not fit ca.key beside it; restore both").into());
        }
        let issuer = Issuer::from_ca_cert_pem(&ca, key)?;
        let tokens = read_key(&keys.authority(layout::TOKENS_KEY))?;
        Ok(Self { keys: keys.clone(), issuer, tokens })
    }

    /// Issues a client certificate to each of some principals.
    ///
    /// # Errors
    /// When a certificate cannot be made or noted.
    pub fn issue_certificates(
        &self,
        principals: &[PrincipalName],
        valid_for: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<IssuedCertificate>, KeysError> {
        let issued = principals.iter().map(|principal| self.certificate(principal, valid_for, now));
        let issued = issued.collect::<Result<Vec<_>, _>>()?;
        let _locked = Locked::keys(&self.keys)?;
        Issued::note(&self.keys, issued.iter().map(|certificate| certificate.issued.clone()).collect())?;
        Ok(issued)
    }

    /// Issues a client certificate.
    ///
    /// # Errors
    /// When it cannot be made or noted.
    pub fn issue_certificate(
        &self,
        principal: &PrincipalName,
        valid_for: Duration,
        now: OffsetDateTime,
    ) -> Result<IssuedCertificate, KeysError> {
        let mut issued = self.issue_certificates(std::slice::from_ref(principal), valid_for, now)?;
        issued.pop().ok_or(KeysError::Made("no certificate".to_owned()))
    }

    /// Issues a client certificate for a key that somebody made themselves: of their request (PKCS #10, PEM) it takes the public key, which
    /// they have proved to hold, and nothing else. Whose it is, for what and for how long is said here, as in every other.
    ///
    /// # Errors
    /// When the request cannot be signed, or the certificate not be made or noted.
    pub fn issue_certificate_for(
        &self,
        request: &str,
        principal: &PrincipalName,
        valid_for: Duration,
        now: OffsetDateTime,
    ) -> Result<SignedCertificate, KeysError> {
        let key = requested_key(request)?;
        let (certificate, issued) = self.client(&key, principal, valid_for, now)?;
        let _locked = Locked::keys(&self.keys)?;
        Issued::note(&self.keys, vec![issued.clone()])?;
        Ok(SignedCertificate { certificate, issued })
    }

    /// Issues a token, for the services of this system or for another audience.
    ///
    /// # Errors
    /// When it cannot be made or noted.
    pub fn issue_token(
        &self,
        principal: &PrincipalName,
        valid_for: Duration,
        audience: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<IssuedToken, KeysError> {
        let expires = now + valid_for;
        let id = uuid::Uuid::now_v7().to_string();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: audience.unwrap_or(AUDIENCE).into(),
            sub: principal.to_string(),
            jti: id.clone(),
            exp: expires.unix_timestamp(),
            nbf: None,
            iat: now.unix_timestamp(),
        };
        let key_id = key_set::id_of(self.tokens.public_key_raw());
        let token = token::sign(&key_id, self.tokens.serialized_der(), &claims)
            .map_err(|error| KeysError::Made(error.to_string()))?;
        let issued = Issued { kind: Kind::Token, id, principal: principal.clone(), issued: now, expires };
        let _locked = Locked::keys(&self.keys)?;
        Issued::note(&self.keys, vec![issued.clone()])?;
        Ok(IssuedToken { token, issued })
    }

    /// Makes a client's certificate and does not note it.
    pub(crate) fn certificate(
        &self,
        principal: &PrincipalName,
        valid_for: Duration,
        now: OffsetDateTime,
    ) -> Result<IssuedCertificate, KeysError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let (certificate, issued) = self.client(&key, principal, valid_for, now)?;
        Ok(IssuedCertificate { certificate, key: key.serialize_pem(), issued })
    }

    /// A client's certificate for a key, PEM, and what is to be noted of it.
    fn client(
        &self,
        key: &impl PublicKeyData,
        principal: &PrincipalName,
        valid_for: Duration,
        now: OffsetDateTime,
    ) -> Result<(String, Issued), KeysError> {
        let mut params = params(principal.as_str(), now, valid_for)?;
        params.subject_alt_names = vec![SanType::URI(format!("{PRINCIPAL_URI}{principal}").try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, id) = self.sign(&params, key)?;
        let (kind, expires) = (Kind::Certificate, now + valid_for);
        Ok((certificate, Issued { kind, id, principal: principal.clone(), issued: now, expires }))
    }

    /// The public half of the key that signs tokens.
    pub(crate) fn token_key(&self) -> &[u8] {
        self.tokens.public_key_raw()
    }

    /// A server's certificate and its key, for all its names.
    pub(crate) fn server(
        &self,
        who: &str,
        names: &[String],
        valid_for: Duration,
        now: OffsetDateTime,
    ) -> Result<(String, String), KeysError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(who, now, valid_for)?;
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if who == "nats" {
            // The servers of a cluster are each other's clients.
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        Ok((self.sign(&params, &key)?.0, key.serialize_pem()))
    }

    /// The certificate, PEM, and its serial number as it is written everywhere.
    fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Result<(String, String), KeysError> {
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok((certificate.pem(), certificate::hex(&serial)))
    }
}

/// The bytes of a public key of RSA that are taken: 2048 to 8192 bits.
const RSA_BYTES: RangeInclusive<usize> = 260..=1_060;

/// The key that a request for a certificate holds, and proves to hold.
fn requested_key(request: &str) -> Result<PublicKey, KeysError> {
    let refused = |why: &str| KeysError::Request(why.to_owned());
    if request.len() > MOST_REQUEST_BYTES {
        return Err(refused("it is too long"));
    }
    let read = CertificateSigningRequestParams::from_pem(request).map_err(|error| refused(&error.to_string()))?;
    let key = read.public_key;
    // What kind of key it is was read from its signature, and would be wrong for some.
    let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).ok();
    let spki = der.and_then(|der| {
        let (_, read) = X509CertificationRequest::from_der(&der).ok()?;
        Some(read.certification_request_info.subject_pki.raw.to_vec())
    });
    let is_rsa = ![&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        .contains(&key.algorithm());
    if spki.as_deref() != Some(&key.subject_public_key_info())
        || (is_rsa && !RSA_BYTES.contains(&key.der_bytes().len()))
    {
        return Err(refused(
            "its key must be of P-256 with SHA-256, P-384 with SHA-384, Ed25519, or RSA of 2048 to 8192 bits",
        ));
    }
    Ok(key)
}

/// What certificates have in common.
fn params(name: &str, now: OffsetDateTime, valid_for: Duration) -> Result<CertificateParams, KeysError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - BEFORE;
    params.not_after = now + valid_for;
    params.serial_number = Some(SerialNumber::from_slice(uuid::Uuid::now_v7().as_bytes()));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// A new authority's certificate and key.
pub(crate) fn new_authority(now: OffsetDateTime) -> Result<(String, String), KeysError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = params("Tong hop CA", now, Duration::days(AUTHORITY_DAYS))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Whether a server's certificate is of one of the authorities, names everything it should, and is good until then, where that matters.
pub(crate) fn is_good_server(ca: &str, pem: &str, names: &[String], until: Option<OffsetDateTime>) -> bool {
    let is_named = |certificate: &EndEntityCert<'_>| {
        names.iter().all(|name| {
            let name = ServerName::try_from(name.as_str());
            name.is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        })
    };
    verified(ca, pem, KeyUsage::server_auth(), until, is_named).unwrap_or_default()
}

/// Whether one of the authorities signed a client's certificate.
pub(crate) fn signed_by(ca: &str, pem: &str) -> bool {
    verified(ca, pem, KeyUsage::client_auth(), None, |_| true).unwrap_or_default()
}

/// Whether a certificate is of one of the authorities and is as it should be, at an instant or just before its end; none where it is
/// no certificate.
fn verified(
    ca: &str,
    pem: &str,
    usage: KeyUsage,
    at: Option<OffsetDateTime>,
    is_good: impl Fn(&EndEntityCert<'_>) -> bool,
) -> Option<bool> {
    let anchors = trust::anchors(Path::new(""), ca).ok()?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let certificate = EndEntityCert::try_from(&der).ok()?;
    let at = at.map_or_else(|| About::of(&der).map(|about| about.expires - Duration::SECOND), Some)?;
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(at.unix_timestamp()).ok()?));
    let signed = certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], at, usage, None, None);
    Some(signed.is_ok() && is_good(&certificate))
}

/// What the first certificate of a PEM file says.
pub(crate) fn about(path: &Path) -> Result<(About, Vec<u8>), FileError> {
    let wrong = || FileError::wrong(path, "holds no certificate in PEM");
    let der = CertificateDer::from_pem_slice(file::read(path)?.as_bytes()).map_err(|_| wrong())?;
    Ok((About::of(&der).ok_or_else(wrong)?, der.to_vec()))
}

/// Whether a certificate is of that key.
fn fit(pem: &str, key: &KeyPair) -> bool {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let of = |der: &CertificateDer<'_>| Some(X509Certificate::from_der(der).ok()?.1.public_key().raw.to_vec());
    der.as_ref().and_then(of) == Some(key.subject_public_key_info())
}

fn read_key(path: &Path) -> Result<KeyPair, KeysError> {
    KeyPair::from_pem(&file::read(path)?).map_err(|_| FileError::wrong(path, "holds no private key in PEM").into())
}
