//! Do more of a dependency's users fail than chance would have it?

/// A dependency with this many failing users can be the shared part at all.
const FAILING_MIN: usize = 2;
/// At least this part of its users fails.
const SHARE_MIN: f64 = 0.6;
/// Chance that as many fail by accident, times the number of dependencies looked at (Bonferroni).
const CHANCE_MAX: f64 = 1e-3;

/// The hypergeometric tail: of `all` services `bad` fail, `users` lean on the dependency, and
/// `bad_users` of these fail. How likely is that, or more, if who fails has nothing to do with it?
fn tail(all: usize, users: usize, bad: usize, bad_users: usize) -> f64 {
    let most = users.min(bad);
    let sum: f64 = (bad_users..=most)
        .filter(|k| bad - k <= all - users)
        .map(|k| {
            (ln_choose(users, k) + ln_choose(all - users, bad - k) - ln_choose(all, bad)).exp()
        })
        .sum();
    sum.min(1.0)
}

/// Natural logarithm of a binomial coefficient.
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
fn ln_choose(of: usize, some: usize) -> f64 {
    (0..some.min(of - some))
        .map(|i| ((of - i) as f64).ln() - ((i + 1) as f64).ln())
        .sum()
}

/// Is the dependency what the failing services share?
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
pub(super) fn is_shared(
    all: usize,
    users: usize,
    bad: usize,
    bad_users: usize,
    dependencies: usize,
) -> bool {
    let possible = bad_users <= users && users <= all && bad_users <= bad && bad <= all;
    possible
        && bad_users >= FAILING_MIN
        && bad_users as f64 / users as f64 >= SHARE_MIN
        && tail(all, users, bad, bad_users) * dependencies.max(1) as f64 <= CHANCE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_textbooks() {
        // Fisher's tea: 4 of 8, all 4 right: 1/70.
        assert!((tail(8, 4, 4, 4) - 1.0 / 70.0).abs() < 1e-12);
        assert!((tail(8, 4, 4, 0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn five_of_six_users_among_forty_are_no_accident() {
        assert!(is_shared(40, 6, 5, 5, 10));
        assert!(
            !is_shared(2, 2, 2, 2, 1),
            "everybody fails: nothing stands out"
        );
        assert!(!is_shared(40, 20, 5, 5, 10), "most of its users are well");
    }
}
