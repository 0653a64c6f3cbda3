//! Client certificates: whose they are, and whether they are ours.

use domain::access::PrincipalName;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use time::OffsetDateTime;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{Credential, Principal, Unauthenticated, key_set};

/// What comes before the principal's name in the certificate's subject alternative name, a URI.
pub const PRINCIPAL_URI: &str = "urn:tonghop:principal:";

/// Who has proved to hold a certificate, if one of the anchors signed it for that.
pub(crate) fn authenticate(
    anchors: &[TrustAnchor<'_>],
    der: &[u8],
    now: OffsetDateTime,
) -> Result<Principal, Unauthenticated> {
    let certificate = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&certificate)
        .map_err(|_| Unauthenticated::Invalid("the certificate cannot be read"))?;
    let since_1970 = std::time::Duration::from_secs(u64::try_from(now.unix_timestamp()).unwrap_or_default());
    let at = UnixTime::since_unix_epoch(since_1970);
    let verified =
        certificate.verify_for_usage(ALL_VERIFICATION_ALGS, anchors, &[], at, KeyUsage::client_auth(), None, None);
    let path = verified.map_err(|error| match error {
        webpki::Error::CertExpired { .. } => Unauthenticated::Expired,
        webpki::Error::CertNotValidYet { .. } => Unauthenticated::Invalid("the certificate is not valid yet"),
        webpki::Error::RequiredEkuNotFoundContext(_) => Unauthenticated::Invalid("the certificate is not a client's"),
        _ => Unauthenticated::Invalid("the certificate was not issued by this system"),
    })?;
    let About { principal, serial, expires } =
        About::of(der).ok_or(Unauthenticated::Invalid("the certificate cannot be read"))?;
    let name = principal.ok_or(Unauthenticated::Invalid("the certificate names no principal"))?;
    let vouched_by = key_set::id_of(&path.anchor().subject_public_key_info);
    Ok(Principal { name, credential: Credential::Certificate(serial), vouched_by, expires })
}

/// What a certificate says, whether it is true or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The one principal it names; none where it names none, or several.
    pub principal: Option<PrincipalName>,
    /// The serial number in lower-case hexadecimal digits.
    pub serial: String,
    /// Until when it is valid.
    pub expires: OffsetDateTime,
}

impl About {
    /// Reads a certificate's DER; none where it is not a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let certificate = CertificateDer::from(der);
        let uris = EndEntityCert::try_from(&certificate).ok()?;
        let mut names = uris.valid_uri_names().filter_map(|uri| uri.strip_prefix(PRINCIPAL_URI));
        let principal = match (names.next(), names.next()) {
            (Some(name), None) => name.parse().ok(),
            _ => None,
        };
        let expires = OffsetDateTime::from_unix_timestamp(parsed.validity().not_after.timestamp()).ok()?;
        Some(Self { principal, serial: hex(parsed.raw_serial()), expires })
    }
}

/// Lower-case hexadecimal digits, without the leading zeros that only keep an ASN.1 number positive.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let significant = bytes.iter().skip_while(|byte| **byte == 0);
    significant.map(|byte| format!("{byte:02x}")).collect()
}
