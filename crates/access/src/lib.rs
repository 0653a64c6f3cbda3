#![doc = include_str!("../README.md")]

mod authority;
mod certificate;
mod credentials;
mod file;
pub mod grants;
mod issued;
mod key_set;
pub mod keys;
mod layout;
mod principal;
mod refused;
mod remote;
pub mod revocations;
pub mod rotation;
pub mod seal;
#[cfg(test)]
mod tests;
mod token;
mod trust;
mod watched;

pub use authority::{Authority, IssuedCertificate, IssuedToken, SignedCertificate};
pub use certificate::{About, PRINCIPAL_URI};
pub use credentials::{Access, AccessConfig, Changes};
pub use file::{FileError, Locked};
pub use issued::{Issued, Kind};
pub use layout::Layout;
pub use principal::{Credential, Principal};
pub use refused::Unauthenticated;
pub use token::{AUDIENCE, ISSUER};
