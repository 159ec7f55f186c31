//! The embedded backend as the server and its commands hold it: open, and as a directory that lies there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::Aging;
use toktra_siem_store::backend::{AtRest, BackedUp, Backend, Copied, Repaired, Restored};
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::watched::Watched;

use super::place::{self, Need};
use super::{DATABASE, Sqlite, backup, people, repair, swap};

#[async_trait]
impl Backend for Sqlite {
    async fn close(&self) -> Result<()> {
        Self::close(self).await
    }

    fn aging(&self) -> Arc<Aging> {
        Arc::clone(&self.aging)
    }

    fn watched(self: Arc<Self>) -> Option<Arc<dyn Watched>> {
        Some(self)
    }
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

impl AtRest for Directory {
    fn exists(&self) -> Result<bool> {
        place::look(&self.0, Need::Write)?;
        swap::finished(&self.0)?;
        Ok(self.0.join(DATABASE).is_file())
    }

    fn has_people(&self) -> Result<bool> {
        people::has_people(&self.0)
    }

    fn backup(&self, to: &Path, report: &mut dyn FnMut(Copied)) -> Result<BackedUp> {
        backup::backup(&self.0, to, report)
    }

    fn note_backup(&self, at: Timestamp) -> Result<()> {
        backup::note_backup(&self.0, at).map_err(|error| StoreError::Unusable(error.to_string()))
    }

    fn restore(&self, from: &Path, replace: bool, now: Timestamp, report: &mut dyn FnMut(Copied)) -> Result<Restored> {
        backup::restore(from, &self.0, replace, now, report)
    }

    fn repair(&self, now: Timestamp) -> Result<Repaired> {
        repair::repair(&self.0, now)
    }
}
