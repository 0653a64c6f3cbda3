//! The catalogues that reports were judged by. A report counts by its own for as long as it counts, so that a new catalogue
//! moves nothing that is there; the files of those before it are kept where the reports are.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use domain::{Catalogue, CatalogueVersion, Catalogues};

use crate::{Faults, load_files};

/// Path and bytes of a catalogue's files.
pub type KeptFiles = Vec<(String, Vec<u8>)>;

/// Why a catalogue is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// Its files were never kept.
    #[error("reports were judged by catalogue {0}, which was not provisioned")]
    Unknown(CatalogueVersion),
    /// Its files are of no use to this program.
    #[error("catalogue {0}, by which reports were judged, cannot be read any more")]
    Unreadable(CatalogueVersion, #[source] Faults),
    /// They make another catalogue.
    #[error("the files kept for catalogue {0} are those of {1}")]
    Another(CatalogueVersion, CatalogueVersion),
}

/// The catalogue in use, and those before it that were needed until now.
#[derive(Debug)]
pub struct Versions(RwLock<Catalogues>);

impl Versions {
    /// The catalogue in use alone.
    #[must_use]
    pub fn new(current: Arc<Catalogue>) -> Self {
        Self(RwLock::new(Catalogues::new(current)))
    }

    /// All that are known.
    #[must_use]
    pub fn known(&self) -> Catalogues {
        // Whoever panicked while writing had added a catalogue or not: both are good.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of some versions that are not known yet: their files are to be found and [added](Self::add).
    #[must_use]
    pub fn missing<'a>(&self, versions: impl IntoIterator<Item = &'a CatalogueVersion>) -> Vec<CatalogueVersion> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let missing = versions.into_iter().filter(|version| known.find(version).is_none());
        missing.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Adds the catalogue of a version from its files.
    ///
    /// # Errors
    /// When there are none, or they are not those of that version.
    pub fn add(&self, version: &CatalogueVersion, files: Option<KeptFiles>) -> Result<(), VersionError> {
        let files = files.ok_or_else(|| VersionError::Unknown(version.clone()))?;
        let loaded = load_files(files).map_err(|faults| VersionError::Unreadable(version.clone(), faults))?;
        if loaded.catalogue.version() != version {
            return Err(VersionError::Another(version.clone(), loaded.catalogue.version().clone()));
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).add(Arc::new(loaded.catalogue));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assemble, files::Files};

    #[test]
    fn an_earlier_catalogue_is_made_of_its_files_again() {
        let mut files = Files::sample();
        let earlier = assemble(&files, Faults::default()).unwrap();
        files.edit("org_units.csv", "Hoa Mai", "Hoa Sen");
        let current = Arc::new(assemble(&files, Faults::default()).unwrap().catalogue);
        let (old, new) = (earlier.catalogue.version().clone(), current.version().clone());
        let versions = Versions::new(current);
        assert_eq!(versions.missing([&new, &old, &old]), std::slice::from_ref(&old));

        assert!(matches!(versions.add(&old, None), Err(VersionError::Unknown(_))));
        assert!(matches!(versions.add(&old, Some(files.list())), Err(VersionError::Another(..))));
        assert!(matches!(versions.add(&old, Some(Vec::new())), Err(VersionError::Unreadable(..))));
        versions.add(&old, Some(earlier.files)).unwrap();
        assert!(versions.missing([&new, &old]).is_empty());
        assert_eq!(versions.known().find(&old).unwrap().version(), &old);
        assert_eq!(versions.known().current().version(), &new);
    }
}
