//! Where a value comes from and what it means.
