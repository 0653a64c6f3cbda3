//! The catalogues that reports were judged by. A report counts by its own for as long as it counts, so that a new catalogue
//! moves nothing that is there.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{Catalogue, CatalogueVersion, Catalogues};
use store::{Store, StoreError};

/// Why a catalogue is not to be had. The partition waits: it may be provisioned yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VersionError {
    #[error("reports were judged by catalogue {0}, which was not provisioned")]
    Unknown(CatalogueVersion),
    #[error("catalogue {0}, by which reports were judged, cannot be read any more")]
    Unreadable(CatalogueVersion, #[source] catalogue::Faults),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Those that were needed until now; the rest is in the database.
#[derive(Debug)]
pub(crate) struct Versions(RwLock<Catalogues>);

impl Versions {
    pub(crate) fn new(current: Arc<Catalogue>) -> Self {
        Self(RwLock::new(Catalogues::new(current)))
    }

    fn known(&self) -> Catalogues {
        // Whoever panicked while writing had added a catalogue or not: both are good.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that are known, with at least those of some versions.
    pub(crate) async fn with<'a>(
        &self,
        store: &Store,
        versions: impl Iterator<Item = &'a CatalogueVersion>,
    ) -> Result<Catalogues, VersionError> {
        let mut known = self.known();
        for version in versions {
            if known.find(version).is_none() {
                known.add(Arc::new(load(store, version).await?));
                self.0.write().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
            }
        }
        Ok(known)
    }
}

async fn load(store: &Store, version: &CatalogueVersion) -> Result<Catalogue, VersionError> {
    let files = store.catalogue_files(version).await?.ok_or_else(|| VersionError::Unknown(version.clone()))?;
    let loaded = catalogue::load_files(files).map_err(|faults| VersionError::Unreadable(version.clone(), faults))?;
    if loaded.catalogue.version() != version {
        return Err(VersionError::Unknown(version.clone()));
    }
    tracing::info!(%version, "loaded an earlier catalogue");
    Ok(loaded.catalogue)
}
