//! How far everything is counted, looked at again and again by a connection of its own.
//!
//! A pool asks each connection that comes back whether it is well. Who looks a thousand times a second would ask the database
//! twice as often for that, and wait for the second answer before the next look.

use std::sync::{Mutex, PoisonError};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::{Fence, Store, StoreError, progress};

/// Looks.
#[derive(Debug)]
pub struct Lookout {
    options: PgConnectOptions,
    /// None while it is used, and where the last look failed or was given up: what was on its way then is nobody's answer.
    connection: Mutex<Option<PgConnection>>,
}

impl Lookout {
    /// Opens the connection.
    ///
    /// # Errors
    /// When the database does not let us in.
    pub async fn open(store: &Store) -> Result<Self, StoreError> {
        let options = store.options.clone();
        Ok(Self { connection: Mutex::new(Some(options.connect().await?)), options })
    }

    /// How far each partition is counted, and in which epoch, at some moment after this is asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fences(&self) -> Result<Vec<(u16, Fence)>, StoreError> {
        let kept = self.put(None);
        if let Some(connection) = kept
            && let Ok(fences) = self.look(connection).await
        {
            return Ok(fences);
        }
        // It may have broken since it was used last: that is not yet the database's failure.
        let connection = Box::pin(self.options.connect()).await?;
        self.look(connection).await
    }

    async fn look(&self, mut connection: PgConnection) -> Result<Vec<(u16, Fence)>, StoreError> {
        let fences = progress::read_all(&mut connection).await?;
        self.put(Some(connection));
        Ok(fences)
    }

    /// Closes the connection.
    pub async fn close(&self) {
        let kept = self.put(None);
        if let Some(connection) = kept
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "the connection of the lookout was gone already");
        }
    }

    fn put(&self, connection: Option<PgConnection>) -> Option<PgConnection> {
        std::mem::replace(&mut *self.connection.lock().unwrap_or_else(PoisonError::into_inner), connection)
    }
}
