//! Vantages, one trouble at a time.
