//! Charts as inline SVG: lines over two axes, and bars.

use std::fmt::Write as _;

use super::escape;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 48.0;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Linear,
    Log,
    /// Percentiles (0 to 100), each nine as long as the one before, as `HdrHistogram` plots them.
    Percentile,
}

/// An axis.
pub(super) struct Axis<'a> {
    pub(super) label: &'a str,
    pub(super) scale: Scale,
}

/// A line.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(1e-9).log10(),
            Self::Percentile => -(1.0 - value / 100.0).max(1e-7).log10(),
        }
    }

    /// The bounds of places, and the values that are named on the axis.
    fn ticks(self, low: f64, high: f64) -> (f64, f64, Vec<f64>) {
        match self {
            Self::Linear => {
                let step = nice(high.max(1e-9) / 5.0);
                let top = (high / step).ceil().max(1.0);
                let ticks = (0..=top as u64).map(|number| number as f64 * step).collect();
                (0.0, top * step, ticks)
            }
            Self::Log => {
                let (first, last) = (low.max(1e-9).log10().floor() as i32, high.max(1e-9).log10().ceil() as i32);
                let last = last.max(first + 1);
                (f64::from(first), f64::from(last), (first..=last).map(|power| 10_f64.powi(power)).collect())
            }
            Self::Percentile => {
                let last = self.place(high).ceil().clamp(2.0, 7.0);
                let ticks = (0..=last as i32).map(|nines| 100.0 - 10_f64.powi(2 - nines)).collect();
                (0.0, last, ticks)
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, at least as large.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|nice| *nice >= step * 0.999).unwrap_or(step)
}

/// A number on an axis, short.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, "M"),
        large if large >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.4}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// Lines; points that are no numbers are left out. Empty when there is nothing to show.
pub(super) fn lines(x: &Axis<'_>, y: &Axis<'_>, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|one| &one.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    if all().count() == 0 {
        return String::new();
    }
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        all().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let ((x_low, x_high), (y_low, y_high)) = (bounds(|point| point.0), bounds(|point| point.1));
    let (x_from, x_to, x_ticks) = x.scale.ticks(x_low, x_high);
    let (y_from, y_to, y_ticks) = y.scale.ticks(y_low, y_high);
    let across = |value: f64| LEFT + (x.scale.place(value) - x_from) / (x_to - x_from) * (WIDTH - LEFT - RIGHT);
    let up = |value: f64| HEIGHT - BOTTOM - (y.scale.place(value) - y_from) / (y_to - y_from) * (HEIGHT - TOP - BOTTOM);

    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in y_ticks {
        let (place, text) = (up(tick), short(tick));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{place:.1}\" y2=\"{place:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            place + 4.0
        );
    }
    for tick in x_ticks {
        let place = across(tick);
        let text = if x.scale == Scale::Percentile { format!("{} %", short(tick)) } else { short(tick) };
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
             <text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0
        );
    }
    let _ = write!(
        svg,
        "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text class=\"label\" transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - 8.0,
        escape(x.label),
        f64::midpoint(TOP, HEIGHT - BOTTOM),
        escape(y.label)
    );
    for (number, one) in series.iter().enumerate() {
        let shown: Vec<&(f64, f64)> = one.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let points: Vec<String> = shown.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
        let color = color(number);
        let _ = write!(svg, "<polyline class=\"line {color}\" points=\"{}\"/>", points.join(" "));
        // Single points have no line, and few are to be seen as what was measured.
        if shown.len() <= 40 {
            for (x, y) in shown {
                let _ = write!(
                    svg,
                    "<circle class=\"dot {color}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}: {} at {}</title></circle>",
                    across(*x),
                    up(*y),
                    escape(&one.name),
                    short(*y),
                    short(*x)
                );
            }
        }
    }
    svg.push_str("</svg>");
    svg.push_str(&legend(series));
    svg
}

fn legend(series: &[Series]) -> String {
    let entry = |(number, one): (usize, &Series)| {
        format!("<span><i class=\"{}\"></i>{}</span>", color(number), escape(&one.name))
    };
    let entries: Vec<String> = series.iter().enumerate().map(entry).collect();
    format!("<p class=\"legend\">{}</p>", entries.join(""))
}

fn color(number: usize) -> &'static str {
    ["c0", "c1", "c2", "c3", "c4", "c5"][number % 6]
}

/// Bars from the left, each with its name and its value as text.
pub(super) fn bars(rows: &[(String, f64, String)]) -> String {
    const ROW: f64 = 26.0;
    let most = rows.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let height = rows.len() as f64 * ROW + 8.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (number, (name, value, text)) in rows.iter().enumerate() {
        let top = number as f64 * ROW + 4.0;
        let width = (value / most * (WIDTH - 260.0)).max(1.0);
        let _ = write!(
            svg,
            "<text x=\"130\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar c0\" x=\"140\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"18\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            top + 13.5,
            escape(name),
            148.0 + width,
            top + 13.5,
            escape(text)
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_stretch_by_nines() {
        let (from, to, ticks) = Scale::Percentile.ticks(0.0, 99.95);
        assert_eq!((from, to), (0.0, 4.0));
        assert_eq!(ticks.len(), 5);
        for (found, expected) in ticks.iter().zip([0.0, 90.0, 99.0, 99.9, 99.99]) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        assert!((Scale::Percentile.place(99.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn axes_hold_all_points() {
        for high in [0.3, 1.0, 7.0, 99.0, 12_345.0] {
            let (from, to, ticks) = Scale::Linear.ticks(0.0, high);
            assert!(from <= 0.0 && to >= high && (3..=12).contains(&ticks.len()), "{high}: {to} {ticks:?}");
        }
        let (from, to, _) = Scale::Log.ticks(3.0, 4500.0);
        assert_eq!((from, to), (0.0, 4.0));
        assert_eq!([short(12_345.0), short(0.25), short(2e6), short(100.0)], ["12.345k", "0.25", "2M", "100"]);
    }

    #[test]
    fn nothing_to_show_is_nothing() {
        let axis = Axis { label: "x", scale: Scale::Linear };
        assert_eq!(lines(&axis, &axis, &[]), "");
        assert_eq!(bars(&[]), "");
        let series = [Series { name: "<a>".to_owned(), points: vec![(1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0)] }];
        let svg = lines(&axis, &axis, &series);
        assert!(svg.contains("&lt;a&gt;") && !svg.contains("NaN") && !svg.contains("<a>"), "{svg}");
    }
}
