//! The catalogues that reports were judged by: what was counted by one is recounted by the same.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{Catalogue, CatalogueVersion, Catalogues};
use store::{Store, StoreError};

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
    ) -> Result<Catalogues, StoreError> {
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

async fn load(store: &Store, version: &CatalogueVersion) -> Result<Catalogue, StoreError> {
    let files = store.catalogue_files(version).await?.ok_or(StoreError::Malformed("catalogue: it was not kept"))?;
    match catalogue::load_files(files) {
        Ok(loaded) if loaded.catalogue.version() == version => {
            tracing::info!(%version, "loaded an earlier catalogue");
            Ok(loaded.catalogue)
        }
        _ => Err(StoreError::Malformed("catalogue: it cannot be read any more")),
    }
}
