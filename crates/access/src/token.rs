//! Bearer tokens: JSON Web Tokens signed with Ed25519, and no other algorithm.

use domain::access::PrincipalName;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, new_error},
    signature,
};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use time::{Duration, OffsetDateTime};

use crate::{Credential, Principal, Unauthenticated};

/// Who tokens of this system are issued by, `iss`, and for whom, `aud`.
pub const ISSUER: &str = "tonghop";
/// For whom tokens are issued: `aud`.
pub const AUDIENCE: &str = "tonghop";

/// How far the clocks of whoever issues tokens and of ours may differ.
const LEEWAY: Duration = Duration::seconds(30);

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 4 * 1024;

#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: serde_json::Value,
    pub(crate) sub: String,
    pub(crate) jti: String,
    pub(crate) exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<i64>,
    #[serde(default)]
    pub(crate) iat: i64,
}

pub(crate) fn sign(key_id: &str, pkcs8: &[u8], claims: &Claims) -> Result<String, Error> {
    use_ring();
    let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(pkcs8))
}

/// Whose token it is, if one of the keys signed it for us; `key_of` gives a key by its id, and by whom what it signs may be issued.
pub(crate) fn authenticate<'k>(
    key_of: impl Fn(&str) -> Option<(&'k [u8], Vec<&'k str>)>,
    token: &str,
    now: OffsetDateTime,
) -> Result<Principal, Unauthenticated> {
    use Unauthenticated::{Expired, Invalid};
    use_ring();
    if token.len() > LONGEST {
        return Err(Invalid("the token is too long"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Invalid("the token cannot be read"))?;
    if header.alg != Algorithm::EdDSA {
        return Err(Invalid("the token is not signed with EdDSA"));
    }
    let key = header.kid.and_then(|id| key_of(&id).map(|(key, issuers)| (id, key, issuers)));
    let (vouched_by, key, issuers) = key.ok_or(Invalid("the token's key is not known"))?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&issuers);
    validation.set_audience(&[AUDIENCE]);
    // The library would ask the operating system for the time; the two are compared below.
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(key), &validation);
    let claims = decoded.map_err(|error| Invalid(explain(&error)))?.claims;
    let instant =
        |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Invalid("the token has no such time"));
    let expires = instant(claims.exp)?;
    // The last second that there is has none after it.
    let expires = expires.saturating_add(LEEWAY);
    if expires <= now {
        return Err(Expired);
    }
    if let Some(begins) = claims.nbf
        && now + LEEWAY < instant(begins)?
    {
        return Err(Invalid("the token is not valid yet"));
    }
    if claims.jti.is_empty() {
        return Err(Invalid("the token has no `jti`"));
    }
    let name: PrincipalName = claims.sub.parse().map_err(|_| Invalid("the token's `sub` is no principal's name"))?;
    Ok(Principal { name, credential: Credential::Token(claims.jti), vouched_by, expires })
}

fn explain(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::InvalidIssuer => "the token was issued by somebody else",
        ErrorKind::InvalidAudience => "the token is for somebody else",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => "the token lacks one of iss, aud, sub, jti, exp",
        _ => "the token cannot be read",
    }
}

/// Gives the library Ed25519 of `ring`, and nothing else: what it has no code for it cannot be talked into.
fn use_ring() {
    static RING: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };
    // The second time it is there already.
    let _ = RING.install_default();
}

struct Signer(Ed25519KeyPair);

struct Verifier(DecodingKey);

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let Algorithm::EdDSA = algorithm else { return Err(new_error(ErrorKind::UnsupportedAlgorithm)) };
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes());
    Ok(Box::new(Signer(key.map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?)))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let Algorithm::EdDSA = algorithm else { return Err(new_error(ErrorKind::UnsupportedAlgorithm)) };
    Ok(Box::new(Verifier(key.clone())))
}

impl signature::Signer<Vec<u8>> for Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = self.0.try_get_as_bytes().map_err(signature::Error::from_source)?;
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
