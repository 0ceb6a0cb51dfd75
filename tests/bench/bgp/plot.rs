//! Lines over two logarithmic axes, as a small SVG that needs nothing else.

use std::fmt::Write as _;

/// A named line.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// Both coordinates above zero.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines with what their axes mean.
pub(crate) struct Plot<'a> {
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) lines: Vec<Line>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// Room for the axes' texts: left, and below; above and right there is less.
const LEFT: f64 = 60.0;
const BELOW: f64 = 45.0;
const EDGE: f64 = 15.0;
/// Room for the names at the right.
const NAMES: f64 = 75.0;
const COLOURS: [&str; 7] = ["#c0392b", "#2471a3", "#5dade2", "#7d6608", "#28b463", "#7d3c98", "#707b7c"];

/// A logarithmic axis from one power of ten to another, onto pixels.
struct Axis {
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) =
            logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)));
        if low > high {
            return Self { low: 0, high: 1, from, to };
        }
        let (low, high) = (low.floor() as i32, high.ceil() as i32);
        Self { low, high: high.max(low + 1), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share =
            (value.max(f64::MIN_POSITIVE).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    fn marks(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        (self.low..=self.high).map(|power| 10f64.powi(power)).map(|value| (value, self.at(value)))
    }
}

impl Plot<'_> {
    /// The SVG.
    pub(crate) fn draw(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::over(points().map(|point| point.0), LEFT, WIDTH - NAMES);
        let y = Axis::over(points().map(|point| point.1), HEIGHT - BELOW, EDGE);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        // Writing to a String does not fail.
        let _ = self.axes(&x, &y, &mut out).and_then(|()| self.draw_lines(&x, &y, &mut out));
        out + "</svg>\n"
    }

    fn axes(&self, x: &Axis, y: &Axis, out: &mut String) -> std::fmt::Result {
        let grey = "stroke=\"#d5d8dc\"";
        for (value, at) in x.marks() {
            writeln!(out, "<path d=\"M{at:.1} {}V{}\" {grey}/>", EDGE, HEIGHT - BELOW)?;
            let below = HEIGHT - BELOW + 16.0;
            writeln!(
                out,
                "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
                number(value)
            )?;
        }
        for (value, at) in y.marks() {
            writeln!(out, "<path d=\"M{LEFT} {at:.1}H{}\" {grey}/>", WIDTH - NAMES)?;
            let (left, at) = (LEFT - 6.0, at + 4.0);
            writeln!(out, "<text x=\"{left}\" y=\"{at:.1}\" text-anchor=\"end\">{}</text>", number(value))?;
        }
        let middle = (LEFT + WIDTH - NAMES) / 2.0;
        writeln!(
            out,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 8.0,
            self.x
        )?;
        let middle = (HEIGHT - BELOW + EDGE) / 2.0;
        writeln!(
            out,
            "<text transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.y
        )
    }

    fn draw_lines(&self, x: &Axis, y: &Axis, out: &mut String) -> std::fmt::Result {
        let mut taken: Vec<f64> = Vec::new();
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let places: Vec<(f64, f64)> =
                line.points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect();
            let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            )?;
            for (x, y) in &places {
                writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")?;
            }
            if let Some((x, y)) = places.last() {
                // Names of lines that end close together make room for each other.
                let mut at = y + 4.0;
                while taken.iter().any(|other| (other - at).abs() < 12.0) {
                    at += 3.0;
                }
                taken.push(at);
                writeln!(
                    out,
                    "<text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{}</text>",
                    x + 8.0,
                    line.name
                )?;
            }
        }
        Ok(())
    }
}

fn number(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}
