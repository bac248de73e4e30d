//! How many times as much of something one system does as another, and how sure that is.

/// A ratio, and the interval in which it is with a probability of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) mean: f64,
    /// None: a single pair says nothing of it.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Two-sided 95 % quantiles of Student's distribution, by degrees of freedom, from one.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];
/// The same for more.
const NORMAL: f64 = 1.96;

impl Ratio {
    /// Of pairs that were measured one right after the other; None: there are none, or one is not above zero.
    /// Ratios are averaged as logarithms: half as much and twice as much make one.
    pub(crate) fn of_pairs(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let pairs = ours.iter().zip(theirs);
        let logarithms: Vec<_> = pairs.map(|(ours, theirs)| (ours / theirs).ln()).collect();
        if logarithms.is_empty() || logarithms.iter().any(|it| !it.is_finite()) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "nobody measures that often")]
        let count = logarithms.len() as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        let interval = (logarithms.len() > 1).then(|| {
            let squares = logarithms.iter().map(|it| (it - mean).powi(2)).sum::<f64>();
            let error = (squares / (count - 1.0) / count).sqrt();
            let student = STUDENT.get(logarithms.len() - 2).copied();
            let reach = student.unwrap_or(NORMAL) * error;
            ((mean - reach).exp(), (mean + reach).exp())
        });
        Some(Self {
            mean: mean.exp(),
            interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ratios_leave_no_doubt() {
        let ratio = Ratio::of_pairs(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]).unwrap();

        let (low, high) = ratio.interval.unwrap();
        for it in [ratio.mean, low, high] {
            assert!((it - 2.0).abs() < 1e-9, "{ratio:?}");
        }
    }

    #[test]
    fn twice_and_half_make_one_with_doubt() {
        let ratio = Ratio::of_pairs(&[2.0, 1.0], &[1.0, 2.0]).unwrap();

        assert!((ratio.mean - 1.0).abs() < 1e-9, "{ratio:?}");
        let (low, high) = ratio.interval.unwrap();
        // ln 2 with one degree of freedom: 12.706 × 0.6931.
        assert!((high.ln() - 8.807).abs() < 0.001 && (low * high - 1.0).abs() < 1e-9);
    }

    #[test]
    fn one_pair_has_no_interval_and_nothing_has_no_ratio() {
        assert_eq!(
            Ratio::of_pairs(&[3.0], &[2.0]),
            Some(Ratio {
                mean: 1.5,
                interval: None
            })
        );
        assert_eq!(Ratio::of_pairs(&[], &[]), None);
        assert_eq!(Ratio::of_pairs(&[1.0], &[0.0]), None);
    }
}
