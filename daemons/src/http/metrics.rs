//! Numbers as Prometheus reads them.

use std::fmt::Write;

#[derive(Default)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// What may go up and down; none, if nobody knows it now.
    pub fn gauge(&mut self, name: &str, value: impl IntoIterator<Item = u64>) {
        self.tell(name, "gauge", value.into_iter().map(|value| (String::new(), value)));
    }

    /// A number of this kind, with the labels of each value that it has.
    pub fn tell(&mut self, name: &str, kind: &str, values: impl IntoIterator<Item = (String, u64)>) {
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(self.text, "{name}{labels} {value}");
        }
    }

    pub fn into_text(self) -> String {
        self.text
    }
}
