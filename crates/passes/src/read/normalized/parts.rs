//! The parts of a normalization: the normalized values, a weight and a bias.

use super::statistics::{Statistics, close};
use super::{Normalization, Weight};
use crate::read::products::{Product, Region, before_casts, in_type, product, terms};
use crate::read::sizes::{keeps_sizes, same_shape};
use crate::rule::Skip;
use netwright_ir::{Dim, ElementType, Graph, Shape, Value};

/// The maximum number of elements of a weight that is generated because the model has none.
const MAX_ONES: u64 = 1 << 14;

/// A product in which a value is divided by the standard deviation or the root mean square.
#[derive(Clone, Copy, PartialEq)]
struct Quotient {
    /// The dividend: `d`, or, in a difference of two quotients, `x` and its mean.
    divided: Value,
    number: f64,
    weight: Option<Value>,
    /// Whether a number is added to the divisor after the square root.
    is_shifted: bool,
}

/// A value that is examined as a normalization with known statistics.
pub(super) struct Parts<'g> {
    graph: &'g Graph,
    root: Value,
    statistics: &'g Statistics,
    /// The normalized value: `x` of `d = x - mean(x)` if it is `centered`, else `d`.
    x: Value,
    /// `x` before casts.
    bare: Value,
    centered: bool,
}

impl<'g> Parts<'g> {
    pub(super) fn find(
        graph: &'g Graph,
        root: Value,
        statistics: &'g Statistics,
        centered: bool,
    ) -> Option<Result<Normalization, Skip>> {
        let mut region = statistics.region.clone();
        let center = statistics.squared(graph, &mut region);
        let (x, region) = if centered { (center?, region) } else { (statistics.d, statistics.region.clone()) };
        let parts = Self { graph, root, statistics, x, bare: before_casts(graph, x), centered };
        let found = parts.read(region)?;
        // If it is centered, the pass that forms layer normalizations reports the reason.
        if found.is_err() && !centered && center.is_some() { None } else { Some(found) }
    }

    fn is_centered(&self, value: Value, region: &mut Region) -> bool {
        if !self.centered {
            return self.is_x(value);
        }
        let mut own = Region::default();
        let x = self.statistics.centered(self.graph, value, &mut own);
        x.is_some_and(|x| self.is_x(x)) && region.extend(&own).is_some()
    }

    fn is_x(&self, value: Value) -> bool {
        before_casts(self.graph, value) == self.bare
    }

    fn is_mean(&self, value: Value, region: &mut Region) -> bool {
        self.centered && self.statistics.is_mean(self.graph, value, self.x, region)
    }

    /// Whether a value is a part of the normalization by itself, so that its own operands are not examined.
    fn is_part(&self, value: Value) -> bool {
        let rank = |value: Value| self.graph.fact(value).rank();
        let mut region = Region::default();
        value == self.statistics.deviation
            || self.is_x(value)
            || (value != self.root && rank(value).is_some_and(|own| Some(own) < rank(self.x)))
            || self.is_centered(value, &mut region)
            || self.is_mean(value, &mut region)
    }

    fn read(&self, mut region: Region) -> Option<Result<Normalization, Skip>> {
        let is_part = |value: Value| self.is_part(value);
        let (mut quotients, mut bias) = (vec![], None);
        for (term, sign) in terms(self.graph, self.root, &is_part, &mut region)? {
            let mut own = Region::default();
            match self.quotient(term, sign, &mut own) {
                Some(quotient) => {
                    region.extend(&own)?;
                    quotients.push(quotient);
                }
                None if sign > 0.0 && bias.replace(term).is_none() => {}
                None => return None,
            }
        }
        let quotient = match *quotients.as_slice() {
            [quotient] if self.is_centered(quotient.divided, &mut region) => quotient,
            // (x - mean) * r, multiplied out.
            [a, b] => {
                let (of_x, of_mean) = if self.is_x(a.divided) { (a, b) } else { (b, a) };
                let opposite = Quotient { divided: of_mean.divided, number: -of_x.number, ..of_x };
                if !self.is_x(of_x.divided) || of_mean != opposite || !self.is_mean(of_mean.divided, &mut region) {
                    return None;
                }
                of_x
            }
            _ => return None,
        };
        let vector =
            |value: Value| self.graph.shape(value).zip(self.last_axes()).is_some_and(|(own, x)| same_shape(own, x));
        let element = self.graph.fact(self.root).element()?;
        // A weight or a bias in a wider type stays outside, and so does the normalization before it.
        let is_own = |value: Value| vector(value) && self.graph.fact(value).element() == Some(element);
        if !quotient.weight.into_iter().chain(bias).all(is_own) {
            return None;
        }
        let x = in_type(self.graph, self.x, element)?;
        Some(self.normalization(x, quotient, bias, &region))
    }

    fn last_axes(&self) -> Option<&'g [Dim]> {
        let shape = self.graph.shape(self.x)?;
        shape.get(shape.len().checked_sub(self.statistics.axes)?..)
    }

    /// Returns the term as a quotient, if a value is divided by the deviation in it.
    fn quotient(&self, term: Value, sign: f64, region: &mut Region) -> Option<Quotient> {
        let is_part = |value: Value| self.is_part(value);
        let Product { number, factors } = product(self.graph, term, &is_part, region)?;
        let (mut divided, mut rest, mut is_shifted) = (None, vec![], None);
        for (value, power) in factors {
            let is_root = value == self.statistics.deviation;
            if power == self.statistics.power && (is_root || self.statistics.is_shifted(self.graph, value, region)) {
                is_shifted.replace(!is_root).is_none().then_some(())?;
            } else if self.is_x(value) || self.is_centered(value, region) || self.is_mean(value, region) {
                (power > 0.0 && divided.replace(value).is_none()).then_some(())?;
            } else {
                rest.push((value, power));
            }
        }
        let weight = match rest.as_slice() {
            [] => None,
            &[(weight, 1.0)] => Some(weight),
            _ => return None,
        };
        Some(Quotient { divided: divided?, number: sign * number, weight, is_shifted: is_shifted? })
    }

    /// Returns the normalization, or why the operator cannot express it although all parts are present.
    fn normalization(
        &self,
        x: Value,
        quotient: Quotient,
        bias: Option<Value>,
        region: &Region,
    ) -> Result<Normalization, Skip> {
        let graph = self.graph;
        let last = self.last_axes().ok_or(Skip::NoMatch)?;
        let count = last.iter().cloned().collect::<Shape>().count();
        self.is_defined_alike(&quotient, &count)?;
        let element = crate::rewrite::element(graph, x)?;
        if !matches!(element, ElementType::F32 | ElementType::F16 | ElementType::BF16) {
            return Err(Skip::rejected(format!(
                "its statistics are computed in {element}, but the operator computes them in f32"
            )));
        }
        if region.is_narrower(graph, element) {
            return Err(Skip::rejected(format!("a part of it is computed in a type that is narrower than {element}")));
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
        let epsilon = self.statistics.epsilon as f32;
        if !epsilon.is_finite() || epsilon < 0.0 || f64::from(epsilon) != self.statistics.epsilon {
            return Err(Skip::rejected(format!(
                "its epsilon {} is not a finite, nonnegative f32, as the attribute requires",
                self.statistics.epsilon
            )));
        }
        if !graph.shape(self.x).zip(graph.shape(self.root)).is_some_and(|(from, to)| keeps_sizes(from, to)) {
            return Err(Skip::rejected("a constant may broadcast it to a larger shape"));
        }
        region.is_private(graph, self.root)?;
        let weight = match quotient.weight {
            Some(weight) if quotient.number == 1.0 => Weight::Value(weight),
            Some(_) => {
                return Err(Skip::rejected(format!(
                    "it is multiplied by {} as well as by its weight",
                    quotient.number
                )));
            }
            None => {
                let dims = last.iter().cloned().collect::<Shape>().known();
                let dims = dims.filter(|_| {
                    count.known().is_some_and(|count| u64::try_from(count).is_ok_and(|count| count <= MAX_ONES))
                });
                let dims = dims.ok_or_else(|| {
                    Skip::rejected(format!(
                        "it has no weight, and one of {count} elements is not generated: the size must be known and at \
                         most {MAX_ONES}"
                    ))
                })?;
                Weight::Number(quotient.number, dims)
            }
        };
        let axis = i64::try_from(self.statistics.axes).map_err(|_| Skip::NoMatch)?;
        Ok(Normalization { x, weight, bias, axis: -axis, epsilon })
    }

    /// Checks that the divisor is the square root of the mean square plus epsilon.
    ///
    /// # Errors
    /// If the mean divides by another number than the number of elements, or epsilon is added after the square root.
    fn is_defined_alike(&self, quotient: &Quotient, count: &Dim) -> Result<(), Skip> {
        let share = self.statistics.share;
        let mut reasons = vec![];
        if !close(share, 1.0) {
            let one_less = count.known().filter(|count| *count > 1).map(|count| (count - 1) as f64);
            match one_less {
                Some(less) if close(share, (less + 1.0) / less) => {
                    reasons.push(format!("its variance is the unbiased one, divided by {less} instead of {count}"));
                }
                // The number of elements may have been canceled out of the square root and of what is added to it.
                _ if quotient.is_shifted => {}
                _ => return Err(Skip::NoMatch),
            }
        }
        if quotient.is_shifted {
            reasons.push("its epsilon is added after the square root".to_owned());
        }
        if reasons.is_empty() { Ok(()) } else { Err(Skip::rejected(reasons.join(", and "))) }
    }
}
