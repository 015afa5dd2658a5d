//! Percentiles and intervals.

/// The standard normal's 97.5th percentile.
const Z: f64 = 1.959_964;

/// The Wilson interval at 95 % of a share.
#[expect(clippy::cast_precision_loss, reason = "counts of a simulation")]
pub(super) fn wilson(hits: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let by = 1.0 + Z * Z / n;
    (
        ((centre - half) / by).max(0.0),
        ((centre + half) / by).min(1.0),
    )
}

/// A percentile by rank; infinite where there is none.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last * percent).div_ceil(100))
        .copied()
        .unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_as_published() {
        // Newcombe 1998, table I: 15 of 148 gives 0.0624 to 0.1605.
        let (low, high) = wilson(15, 148);
        assert!(
            (low - 0.0624).abs() < 1e-4 && (high - 0.1605).abs() < 1e-4,
            "{low} {high}"
        );
        assert_eq!(wilson(0, 10).0, 0.0);
    }

    #[test]
    fn percentiles_by_rank() {
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 50), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 95), 4.0);
        assert!(percentile(&[], 50).is_infinite());
    }
}
