//! The keywords of a mailbox. Their ids are positions, which are never reused, so there is no
//! ceiling but [`types::Limits::keywords`].

use std::collections::HashMap;

use types::Keyword;

use crate::codec::{Reader, Writer};
use crate::error::Result;

/// Every keyword that the mailbox has ever seen, as first written.
#[derive(Clone, Debug, Default)]
pub struct Keywords {
    names: Vec<Keyword>,
    ids: HashMap<Keyword, u32>,
}

impl Keywords {
    /// The keyword with this id.
    pub fn name(&self, id: u32) -> Option<&Keyword> {
        self.names.get(id as usize)
    }

    /// The id of a keyword, in any case.
    pub fn id(&self, keyword: &Keyword) -> Option<u32> {
        self.ids.get(keyword).copied()
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Keyword> {
        self.names.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True where the mailbox has never seen a keyword.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn id_or_insert(&mut self, keyword: &Keyword) -> u32 {
        if let Some(id) = self.id(keyword) {
            return id;
        }
        // Limits keep the table far below 2^32.
        let id = self.names.len() as u32;
        self.names.push(keyword.clone());
        self.ids.insert(keyword.clone(), id);
        id
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(1);
        w.number(self.names.len() as u64);
        for name in &self.names {
            w.bytes(name.as_str().as_bytes());
        }
        w.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let (_, mut r) = Reader::new("the keywords of a mailbox", value, 1)?;
        let mut table = Self::default();
        for _ in 0..r.count()? {
            let name = Keyword::new(r.text()?).ok();
            table.id_or_insert(&r.valid(name)?);
        }
        r.end()?;
        Ok(table)
    }
}
