//! Draws the memory of each layout over time.

use crate::serve::{Layout, Outcome, Server, Step};
use std::fmt::Write;

/// The width of a curve, which is also its number of points, and its height, in pixels.
const WIDTH: usize = 560;
const HEIGHT: usize = 84;
const LEFT: usize = 96;
const STEP: usize = HEIGHT + 26;
const STYLE: &str = "text{font:13px sans-serif;fill:#333}.r{fill:#9ec1f3}.u{fill:#2b62c0}.f{fill:none;stroke:#9aa4b2}\
    @media(prefers-color-scheme:dark){text{fill:#ccc}.r{fill:#2f4f7d}.u{fill:#79aaf5}.f{stroke:#555}}";

/// Returns an SVG with one panel for each layout: the reserved slots, and in front of them the used ones.
pub(crate) fn svg(outcomes: &[(Layout, Outcome)], server: Server) -> String {
    let longest = outcomes.iter().map(|(_, outcome)| outcome.steps.len()).max().unwrap_or(0).max(1);
    let (width, height) = (LEFT + WIDTH + 20, 34 + outcomes.len() * STEP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n\
         <path class=\"r\" d=\"M{LEFT} 8h11v11h-11z\"/><text x=\"{}\" y=\"18\">reserved</text>\n\
         <path class=\"u\" d=\"M{} 8h11v11h-11z\"/><text x=\"{}\" y=\"18\">used, of {} slots in {longest} steps</text>\n",
        LEFT + 17,
        LEFT + 96,
        LEFT + 113,
        server.slots
    );
    for (at, (layout, outcome)) in outcomes.iter().enumerate() {
        let top = 34 + at * STEP;
        let curve = |of: fn(&Step) -> u64| area(&outcome.steps, of, longest, server.slots, top);
        // Writing to a string cannot fail.
        _ = writeln!(
            out,
            "<text x=\"8\" y=\"{}\">{}</text>\n<path class=\"r\" d=\"{}\"/>\n<path class=\"u\" d=\"{}\"/>\n\
             <path class=\"f\" d=\"M{LEFT} {top}h{WIDTH}v{HEIGHT}h-{WIDTH}z\"/>",
            top + HEIGHT / 2,
            layout.name(),
            curve(|step| step.reserved),
            curve(|step| step.used),
        );
    }
    out + "</svg>\n"
}

/// Returns the path of the area under a curve, of which each point is the mean of some steps.
fn area(steps: &[Step], of: fn(&Step) -> u64, longest: usize, slots: u64, top: usize) -> String {
    let mut path = format!("M{LEFT} {}", top + HEIGHT);
    let points = WIDTH / 2;
    for point in 0..points {
        let (start, end) = (point * longest / points, ((point + 1) * longest).div_ceil(points));
        let (start, end) = (start.min(steps.len()), end.min(steps.len()));
        if start == end {
            break;
        }
        let mean = steps[start..end].iter().map(of).sum::<u64>() as f64 / (end - start) as f64;
        let y = (top + HEIGHT) as f64 - mean / slots as f64 * HEIGHT as f64;
        // The first point goes up from the corner.
        _ = write!(path, "V{y:.1}h2");
    }
    path + &format!("V{}z", top + HEIGHT)
}
