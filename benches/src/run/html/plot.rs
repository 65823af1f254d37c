//! A line plot as SVG, drawn by hand: axes with round numbers, a legend, values on hover.

use std::fmt::Write as _;

use super::escape;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// Points of a line that can be hovered over; more would only make the page heavy.
const HOVER_MAX: usize = 400;

/// One line or cloud of points.
pub struct Series {
    pub name: &'static str,
    /// A class of the style sheet: `a`, `b` or `c`.
    pub colour: char,
    pub points: Vec<(f64, f64)>,
    /// Points alone, without a line.
    pub dots: bool,
}

/// What stands on the y axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Linear,
    /// No marks between whole numbers.
    Count,
    /// Each step ten times the last.
    Log,
}

/// See the module.
pub struct Plot {
    pub title: &'static str,
    pub series: Vec<Series>,
    /// Where the x axis has marks, and which.
    pub x_ticks: Vec<(f64, String)>,
    pub x_range: (f64, f64),
    /// How a value of the y axis is written.
    pub y_text: fn(f64) -> String,
    pub axis: Axis,
    /// The part of the x axis that was measured; the rest is shaded.
    pub window: Option<(f64, f64)>,
}

/// 1, 2 or 5 times a power of ten, at least `value`.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|round| *round >= value * 0.999)
        .unwrap_or(value)
}

/// Marks of an axis from 0 to beyond `max`; of what is counted, none in between.
pub fn ticks(max: f64, whole: bool) -> Vec<f64> {
    let max = if max > 0.0 { max } else { 1.0 };
    let step = round_up(max / 5.0).max(if whole { 1.0 } else { 0.0 });
    (0..=(max / step).ceil() as usize).map(|n| n as f64 * step).collect()
}

/// Marks of a logarithmic axis around the values: 1, 2 and 5 of each power where there is room.
fn log_ticks(min: f64, max: f64) -> Vec<f64> {
    let (low, high) = (min.log10().floor() as i32, max.log10().ceil() as i32);
    let factors: &[f64] = if high - low <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let all: Vec<f64> = (low..=high).flat_map(|power| factors.iter().map(move |f| f * 10_f64.powi(power))).collect();
    let from = all.iter().rposition(|tick| *tick <= min).unwrap_or(0);
    let to = all.iter().position(|tick| *tick >= max).unwrap_or(all.len() - 1);
    all[from..=to.max(from)].to_vec()
}

impl Plot {
    /// Nothing at all if there are no points.
    pub fn render(&self) -> String {
        let values = || self.series.iter().flat_map(|series| &series.points).map(|(_, y)| *y);
        let max = values().fold(f64::NEG_INFINITY, f64::max);
        let min = values().fold(f64::INFINITY, f64::min);
        if !max.is_finite() || !min.is_finite() {
            return String::new();
        }
        let y_ticks = match self.axis {
            Axis::Log => log_ticks(min.max(1e-3), max.max(1e-3)),
            axis => ticks(max, axis == Axis::Count),
        };
        let mut out = format!("<figure><figcaption><h2>{}</h2>{}</figcaption>", self.title, self.legend());
        let _ = write!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", self.title);
        let scale = Scale { x: self.x_range, y: (y_ticks[0], y_ticks[y_ticks.len() - 1]), log: self.axis == Axis::Log };
        self.axes(&scale, &y_ticks, &mut out);
        self.series.iter().for_each(|series| self.line(series, &scale, &mut out));
        out.push_str("</svg></figure>");
        out
    }

    fn legend(&self) -> String {
        let entry = |series: &Series| format!("<span class=\"key {}\">{}</span>", series.colour, series.name);
        self.series.iter().filter(|series| !series.points.is_empty()).map(entry).collect()
    }

    fn axes(&self, scale: &Scale, y_ticks: &[f64], out: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        if let Some((from, to)) = self.window {
            for (from, to) in [(scale.x.0, from), (to, scale.x.1)] {
                let (from, to) = (scale.x(from), scale.x(to));
                if to - from > 0.5 {
                    let (width, height) = (to - from, bottom - TOP);
                    let _ = write!(
                        out,
                        "<rect class=\"ramp\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>"
                    );
                }
            }
        }
        for tick in y_ticks {
            let (y, text) = (scale.y(*tick), escape(&(self.y_text)(*tick)));
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"y\">{text}</text>",
                LEFT - 6.0,
                y + 3.5
            );
        }
        for (tick, text) in &self.x_ticks {
            let x = scale.x(*tick);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x:.1} {bottom}v4\"/><text x=\"{x:.1}\" y=\"{:.1}\" class=\"x\">{}</text>",
                HEIGHT - 6.0,
                escape(text)
            );
        }
    }

    fn line(&self, series: &Series, scale: &Scale, out: &mut String) {
        let Series { name, colour, points, dots } = series;
        if !dots {
            let mut path = String::new();
            for (index, (x, y)) in points.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", scale.x(*x), scale.y(*y));
            }
            let _ = write!(out, "<path class=\"line {colour}\" d=\"{path}\"/>");
        }
        if *dots || points.len() <= HOVER_MAX {
            for (x, y) in points {
                let (cx, cy, text) = (scale.x(*x), scale.y(*y), escape(&(self.y_text)(*y)));
                let class = if *dots { "dot" } else { "hover" };
                let radius = if *dots { 3.5 } else { 5.0 };
                let _ = write!(
                    out,
                    "<circle class=\"{class} {colour}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\">\
                    <title>{name}: {text}</title></circle>"
                );
            }
        }
    }
}

/// From values to places.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
    log: bool,
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        let span = (self.x.1 - self.x.0).max(1e-9);
        LEFT + ((value - self.x.0) / span).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let of = |value: f64| if self.log { value.max(1e-3).log10() } else { value };
        let (low, high) = (of(self.y.0), of(self.y.1));
        let share = ((of(value) - low) / (high - low).max(1e-9)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_around_the_values() {
        assert_eq!(ticks(0.0, true), [0.0, 1.0]);
        assert_eq!(ticks(2.5, false), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!(ticks(97.0, true), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(log_ticks(120.0, 900.0), [100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(log_ticks(100.0, 100.0), [100.0]);
        assert_eq!(log_ticks(3.0, 200_000.0), [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0]);
    }

    #[test]
    fn a_plot_without_points_is_none() {
        let series = Series { name: "x", colour: 'a', points: Vec::new(), dots: false };
        let plot = Plot {
            title: "t",
            series: vec![series],
            x_ticks: Vec::new(),
            x_range: (0.0, 1.0),
            y_text: |y| y.to_string(),
            axis: Axis::Linear,
            window: None,
        };
        assert_eq!(plot.render(), "");
    }
}
