//! A run as one self-contained page: a lane per node, messages as arrows, faults as bands, the
//! operation that went wrong beside what the model expected, and the trace of whatever is in view.
//!
//! Makes text and nothing else. Everything on the page is data in it: it asks nobody for anything.

mod scene;

#[cfg(test)]
mod tests;

use crate::history::History;
use crate::plan::{Member, Plan};
use crate::run::Failure;
use crate::trace::{self, Line};
use mooseng_core::time::Instant;
use scene::Scene;

const STYLE: &str = include_str!("timeline/page.css");
const SCRIPT: &str = include_str!("timeline/page.js");

/// What a page shows.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The line to paste that plays this run again.
    pub replay: String,
    pub plan: Plan,
    pub history: History,
    pub failure: Option<Failure>,
    /// Lanes from top to bottom.
    pub members: Vec<Member>,
    /// In the order of true time.
    pub lines: Vec<Line>,
    pub end: Instant,
}

/// Text as it may stand between tags and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if letter.is_control() && letter != '\n' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

impl Timeline {
    pub fn html(&self) -> String {
        let scene = Scene::of(self);
        // Nothing in the data may look like the end of its element.
        let data = serde_json::to_string(&scene).expect("plain data is JSON").replace('<', "\\u003c");
        let title = escape(&format!("{}, seed {:#x}", self.plan.story, self.plan.seed));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body>\n<header><h1>{title}</h1>{}\
             <p class=\"replay\"><code>{}</code></p></header>\n{}\n{}\n\
             <section><h2>In view</h2><p id=\"count\"></p><pre id=\"lines\"></pre></section>\n{}\n\
             <details><summary>The plan</summary><pre>{}</pre></details>\n\
             <script type=\"application/json\" id=\"scene\">{data}</script>\n<script>{SCRIPT}</script>\n\
             </body></html>\n",
            self.verdict(),
            escape(&self.replay),
            self.judgement(),
            CANVAS,
            self.operations(),
            escape(&self.plan.to_text()),
        )
    }

    fn verdict(&self) -> String {
        match &self.failure {
            None => "<p class=\"verdict good\">Nothing found.</p>".to_owned(),
            Some(failure) => format!(
                "<p class=\"verdict bad\"><b>{} {}</b> at {}: {}</p>",
                escape(&failure.promise),
                escape(&failure.oracle),
                failure.at,
                escape(&failure.what)
            ),
        }
    }

    /// The operation that went wrong beside what was expected of it.
    fn judgement(&self) -> String {
        let number = self.failure.as_ref().and_then(|failure| failure.operation);
        let expected = self.failure.as_ref().and_then(|failure| failure.expected.as_deref());
        let operation = number.and_then(|number| self.history.operations().get(number));
        if operation.is_none() && expected.is_none() {
            return String::new();
        }
        let asked = operation.map_or("The state at the end".to_owned(), |operation| {
            let called = format!("called at {}", operation.called);
            let ended = operation.ended().map_or(String::new(), |at| format!(", ended at {at}"));
            let asked = trace::asked(&operation.asked);
            format!("[{}] client-{}: {asked} ({called}{ended})", operation.number, operation.client + 1)
        });
        let got = operation.map_or_else(
            || self.failure.as_ref().map_or(String::new(), |failure| failure.what.clone()),
            trace::ending,
        );
        format!(
            "<section class=\"judgement\"><p>{}</p><div><div class=\"got\"><h3>The system says</h3><p>{}</p></div>\
             <div class=\"expected\"><h3>The model expects</h3><p>{}</p></div></div></section>",
            escape(&asked),
            escape(&got),
            escape(expected.unwrap_or("nothing more than that the promise is kept")),
        )
    }

    fn operations(&self) -> String {
        let failed = self.failure.as_ref().and_then(|failure| failure.operation);
        let mut rows = String::new();
        for operation in self.history.operations() {
            let class = if failed == Some(operation.number) { " class=\"failed\"" } else { "" };
            rows.push_str(&format!(
                "<tr{class}><td>{}</td><td>client-{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                operation.number,
                operation.client + 1,
                operation.called,
                operation.ended().map_or(String::new(), |at| at.to_string()),
                escape(&trace::asked(&operation.asked)),
                escape(&trace::ending(operation)),
            ));
        }
        format!(
            "<details><summary>All {} operations</summary><table><thead><tr><th>number</th><th>client</th>\
             <th>called</th><th>ended</th><th>asked</th><th>answer</th></tr></thead>\n<tbody>{rows}</tbody></table>\
             </details>",
            self.history.operations().len()
        )
    }
}

const CANVAS: &str = "<section class=\"stage\"><div class=\"tools\">\
    <button id=\"whole\">whole run</button><button id=\"failure\">the failure</button>\
    <button id=\"closer\">closer</button><button id=\"wider\">wider</button>\
    <label><input type=\"checkbox\" id=\"messages\" checked> messages</label>\
    <span id=\"hint\">drag to move, wheel to zoom, point to read</span></div>\
    <canvas id=\"canvas\"></canvas><div id=\"tip\"></div>\
    <p class=\"legend\"><i class=\"changed\"></i>changed<i class=\"read\"></i>read\
    <i class=\"refused\"></i>refused<i class=\"unknown\"></i>no answer<i class=\"failed\"></i>went wrong\
    <i class=\"leader\"></i>leads<i class=\"down\"></i>down<i class=\"paused\"></i>paused\
    <i class=\"fault\"></i>fault</p></section>";
