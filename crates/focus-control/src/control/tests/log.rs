//! What is logged, as text.

use std::fmt::Debug;
use std::sync::mpsc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// One line each: level, message, fields.
pub(super) fn of(run: impl FnOnce()) -> String {
    let (lines, log) = mpsc::channel();
    tracing::subscriber::with_default(Lines(lines), run);
    log.try_iter().collect::<Vec<String>>().join("\n")
}

struct Lines(mpsc::Sender<String>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0 += &format!(" {value:?}"),
            name => self.0 += &format!(" {name}={value:?}"),
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        let _ = self.0.send(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
