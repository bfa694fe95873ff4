//! Where an account's values come from.

use std::sync::Arc;

use engine::{Engine, ReadView};
use types::AccountId;

use crate::error::Result;

/// One account of one engine, for reading.
pub(crate) struct Source {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) account: AccountId,
}

impl Source {
    pub(crate) fn read(&self) -> Result<Box<dyn ReadView>> {
        Ok(self.engine.read(self.account)?)
    }
}
