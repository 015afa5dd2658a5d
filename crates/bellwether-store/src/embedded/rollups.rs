//! `rollup.db`.

use std::ops::Range;
use std::path::Path;

use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;

use super::Embedded;
use crate::{Maintained, Retention, Rollup, Step, StoreError};

#[derive(Debug)]
pub(crate) struct Rollups {}
impl Rollups {
    pub(crate) fn open(_path: &Path, _damage: &mut Vec<String>) -> Result<Self, StoreError> {
        Ok(Self {})
    }
    pub(crate) fn all_series(&self) -> Result<Vec<(CheckId, VantageId)>, StoreError> {
        Ok(vec![])
    }
}
impl Embedded {
    pub(crate) fn read_rollups(
        &self,
        _s: &[(CheckId, VantageId)],
        _step: Step,
        _r: &Range<Timestamp>,
    ) -> Result<Vec<Rollup>, StoreError> {
        Ok(vec![])
    }
    pub(crate) fn do_maintain(
        &self,
        _now: Timestamp,
        _keep: &Retention,
    ) -> Result<Maintained, StoreError> {
        Ok(Maintained {
            damage: std::mem::take(&mut *super::lock(&self.damage)),
            ..Maintained::default()
        })
    }
}
