//! Prometheus' text exposition format, version 0.0.4.

use std::fmt::{Display, Write};

use super::histogram::Histogram;
use super::names::Metric;

/// The text so far.
#[derive(Default)]
pub(super) struct Text {
    out: String,
}

/// Where the samples of one metric go.
pub(super) struct Samples<'a> {
    metric: Metric,
    out: &'a mut String,
}

impl Samples<'_> {
    /// A sample with a value for each of the metric's labels.
    pub(super) fn sample(&mut self, labels: &[&dyn Display], value: impl Display) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        self.out.push_str(self.metric.name);
        let mut bracket = '{';
        for (name, value) in self.metric.labels.iter().zip(labels) {
            self.out.push(bracket);
            bracket = ',';
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(&value.to_string(), self.out);
            self.out.push('"');
        }
        if !self.metric.labels.is_empty() {
            self.out.push('}');
        }
        put(self.out, format_args!(" {value}\n"));
    }
}

impl Text {
    /// A metric's heading and samples.
    pub(super) fn family(&mut self, metric: Metric, samples: impl FnOnce(&mut Samples<'_>)) {
        let Metric { name, kind, help, .. } = metric;
        put(&mut self.out, format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
        samples(&mut Samples { metric, out: &mut self.out });
    }

    /// A metric without labels.
    pub(super) fn plain(&mut self, metric: Metric, value: impl Display) {
        self.family(metric, |out| out.sample(&[], value));
    }

    /// A metric with one sample.
    pub(super) fn single(&mut self, metric: Metric, labels: &[(&str, &str)], value: impl Display) {
        let values: Vec<&dyn Display> = labels.iter().map(|(_, value)| value as &dyn Display).collect();
        self.family(metric, |out| out.sample(&values, value));
    }

    /// A histogram without labels.
    pub(super) fn histogram(&mut self, metric: Metric, histogram: &Histogram) {
        self.family(metric, |samples| {
            let name = metric.name;
            for (bound, count) in histogram.cumulative() {
                put(samples.out, format_args!("{name}_bucket{{le=\"{bound}\"}} {count}\n"));
            }
            let (count, sum) = (histogram.count(), histogram.sum().as_secs_f64());
            put(samples.out, format_args!("{name}_bucket{{le=\"+Inf\"}} {count}\n"));
            put(samples.out, format_args!("{name}_sum {sum}\n{name}_count {count}\n"));
        });
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

/// A label's value: backslash, quote and line feed are escaped.
fn escape(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}
