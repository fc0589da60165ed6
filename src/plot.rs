//! Plots for people, as SVG.

use std::fmt::Display;

use anyhow::{Result, anyhow, ensure};
use contract::CurvePoint;
use plotters::{
    backend::SVGBackend,
    chart::{ChartBuilder, ChartContext, SeriesLabelPosition},
    coord::{Shift, cartesian::Cartesian2d, types::RangedCoordf64},
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Rectangle, Text},
    series::LineSeries,
    style::{Color, RGBColor, ShapeStyle, TextStyle, WHITE},
};

/// Colours that people with any sight tell apart (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(100, 100, 100),
];

const SIZE: (u32, u32) = (860, 420);
const FONT: &str = "sans-serif";

/// A line of a plot.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Something measured several times: its mean, where that lies, and each time.
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) each: Vec<f64>,
}

/// A bar of a group.
pub(crate) struct Bars {
    pub(crate) name: String,
    /// One value a group; none where there is nothing.
    pub(crate) values: Vec<Option<f64>>,
}

/// The losses of a training by epoch.
pub(crate) fn curves(title: &str, points: &[CurvePoint]) -> Result<String> {
    ensure!(!points.is_empty(), "there is nothing to plot: this version was not trained here epoch by epoch");
    let line = |name: &str, loss: fn(&CurvePoint) -> f64| Line {
        name: name.to_owned(),
        points: points.iter().map(|point| (point.epoch as f64, loss(point))).collect(),
    };
    lines(
        title,
        "epoch",
        "loss",
        &[line("training", |point| point.training_loss), line("validation", |point| point.validation_loss)],
    )
}

/// Lines over one axis.
pub(crate) fn lines(title: &str, across: &str, up: &str, lines: &[Line]) -> Result<String> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let (left, right) = range(all().map(|(x, _)| *x));
    let (bottom, top) = padded(range(all().map(|(_, y)| *y)));
    drawn(|area| {
        let mut chart =
            titled(area, title, 70).build_cartesian_2d(left..right.max(left + 1.0), bottom..top).map_err(failed)?;
        chart.configure_mesh().light_line_style(WHITE).x_desc(across).y_desc(up).draw().map_err(failed)?;
        for (place, line) in lines.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            let drawn = chart.draw_series(series).map_err(failed)?;
            drawn
                .label(line.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)
    })
}

/// Means with their intervals and what they are the means of, one below the other.
pub(crate) fn intervals(title: &str, across: &str, measured: &[Measured]) -> Result<String> {
    let ends = measured.iter().flat_map(|one| one.each.iter().copied().chain([one.low, one.high]));
    let (left, right) = padded(range(ends));
    let rows = measured.len() as f64;
    drawn(|area| {
        let mut chart = titled(area, title, 120).build_cartesian_2d(left..right, rows..0.0).map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().disable_y_axis().light_line_style(WHITE).x_desc(across).draw().map_err(failed)?;
        for (place, one) in measured.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let y = place as f64 + 0.5;
            let dots = one.each.iter().map(|value| Circle::new((*value, y), 3, colour.mix(0.4).filled()));
            chart.draw_series(dots).map_err(failed)?;
            let line = PathElement::new([(one.low, y), (one.high, y)], colour.stroke_width(3));
            chart.draw_series([line]).map_err(failed)?;
            chart.draw_series([Circle::new((one.mean, y), 5, colour.filled())]).map_err(failed)?;
            let (_, at) = chart.backend_coord(&(left, y));
            let text = Text::new(one.name.clone(), (16, at - 7), TextStyle::from((FONT, 14)));
            area.draw(&text).map_err(failed)?;
        }
        Ok(())
    })
}

/// Groups of bars on a logarithmic scale; each bar says its value.
pub(crate) fn bars(title: &str, up: &str, groups: &[String], bars: &[Bars]) -> Result<String> {
    let values = || bars.iter().flat_map(|bars| bars.values.iter().flatten().copied());
    let (least, most) = range(values().map(|value| value.max(1e-9).log10()));
    let (bottom, top) = (least.floor(), (most + 0.3).max(least.floor() + 1.0));
    drawn(|area| {
        let mut chart =
            titled(area, title, 70).build_cartesian_2d(0.0..groups.len() as f64, bottom..top).map_err(failed)?;
        let label = |place: &f64| groups.get(*place as usize).cloned().unwrap_or_default();
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().light_line_style(WHITE).x_labels(0).y_desc(up);
        mesh.y_label_formatter(&|power| short(10_f64.powf(*power))).x_label_formatter(&label).draw().map_err(failed)?;
        let width = 0.8 / bars.len().max(1) as f64;
        for (place, one) in bars.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let mut boxes = Vec::new();
            for (group, value) in one.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let (start, height) = (group as f64 + 0.1 + place as f64 * width, value.max(1e-9).log10());
                boxes.push(Rectangle::new(
                    [(start, bottom), (start + width * 0.92, height)],
                    ShapeStyle::from(colour).filled(),
                ));
                let (x, y) = chart.backend_coord(&(start, height));
                area.draw(&Text::new(short(*value), (x, y - 15), TextStyle::from((FONT, 12)))).map_err(failed)?;
            }
            let drawn = chart.draw_series(boxes).map_err(failed)?;
            drawn
                .label(one.name.as_str())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        }
        for (place, group) in groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(place as f64 + 0.1, bottom));
            area.draw(&Text::new(group.clone(), (x, y + 8), TextStyle::from((FONT, 14)))).map_err(failed)?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'svg> = ChartContext<'a, SVGBackend<'svg>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A chart with its title and room for labels: below, and `left` of it.
fn titled<'a, 'svg>(area: &'a Area<'svg>, title: &str, left: u32) -> ChartBuilder<'a, 'static, SVGBackend<'svg>> {
    let mut chart = ChartBuilder::on(area);
    chart.caption(title, (FONT, 18)).margin(12).x_label_area_size(40).y_label_area_size(left);
    chart
}

fn legend<'a, 'svg: 'a>(chart: &mut Chart<'a, 'svg>, position: SeriesLabelPosition) -> Result<()> {
    let mut labels = chart.configure_series_labels();
    labels.position(position).background_style(WHITE.mix(0.85)).label_font((FONT, 14)).draw().map_err(failed)
}

fn drawn(draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed(error: impl Display) -> anyhow::Error {
    anyhow!("cannot draw the plot: {error}")
}

/// The least and the greatest finite number; 0 and 1 of none.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// With a little room at both ends.
fn padded((low, high): (f64, f64)) -> (f64, f64) {
    let room = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-9);
    (low - room, high + room)
}

/// A number in three digits or so.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.0} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_both_losses_and_need_epochs() {
        let point = |epoch: usize| CurvePoint {
            epoch,
            training_loss: 1.0 / epoch as f64,
            validation_loss: 1.5 / epoch as f64,
            seconds: 0.1,
        };
        let svg = curves("wine <1>", &[point(1), point(2), point(3)]).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("training") && svg.contains("validation") && svg.contains("wine &lt;1&gt;"));
        assert!(svg.matches("<polyline").count() >= 2);
        assert!(curves("x", &[]).unwrap_err().to_string().contains("nothing to plot"));
        assert!(curves("one epoch", &[point(1)]).is_ok());
    }

    #[test]
    fn nothing_that_is_no_number_stops_a_plot() {
        let line = |points| [Line { name: "a".to_owned(), points }];
        assert!(lines("t", "x", "y", &line(vec![(1.0, f64::NAN), (2.0, 1.0)])).is_ok());
        assert!(lines("t", "x", "y", &line(vec![])).is_ok());
        let groups = ["batch 1".to_owned()];
        let bars_of = |value| [Bars { name: "a".to_owned(), values: vec![value] }];
        assert!(bars("t", "y", &groups, &bars_of(Some(0.0))).is_ok());
        assert!(bars("t", "y", &groups, &bars_of(None)).is_ok());
        let one = Measured { name: "a".to_owned(), mean: 1.0, low: 1.0, high: 1.0, each: vec![1.0] };
        assert!(intervals("t", "x", &[one]).unwrap().contains("<circle"));
    }
}
