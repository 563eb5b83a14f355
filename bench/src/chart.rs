//! The chart: CPU time per request, one group of bars for each scenario.

use std::fmt::Write as _;

use crate::peers::Peer;
use crate::throughput::Table;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 130.0;
const BAR: f64 = 20.0;
const GAP: f64 = 6.0;

/// Renders the tables as SVG, with its own background so that it reads on light and dark pages alike.
pub(crate) fn render(tables: &[Table]) -> String {
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    let height = 60.0 + tables.len() as f64 * 48.0 + rows as f64 * (BAR + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"CPU time per request\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"20\" y=\"32\" font-size=\"18\" font-weight=\"600\" fill=\"#1b1b1b\">CPU microseconds per request \
         (less is better)</text>\n"
    );
    let mut y = 60.0;
    for table in tables {
        let longest = table.rows.iter().map(|row| row.cpu_us).fold(1.0, f64::max);
        let _ = writeln!(
            svg,
            "<text x=\"20\" y=\"{:.0}\" font-weight=\"600\" fill=\"#444\">{}</text>",
            y + 14.0,
            table.title
        );
        y += 26.0;
        for row in &table.rows {
            let length = row.cpu_us / longest * (WIDTH - LABELS - 110.0);
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#1b1b1b\">{}</text>\
                 <rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#1b1b1b\">{:.1}</text>",
                LABELS - 8.0,
                y + 15.0,
                row.peer.name(),
                colour(row.peer),
                LABELS + length + 6.0,
                y + 15.0,
                row.cpu_us
            );
            y += BAR + GAP;
        }
        y += 22.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::Licorne => "#7b3fe4",
        Peer::BareClose | Peer::BareEpoll => "#c9c9c9",
        Peer::Unicorn | Peer::Puma | Peer::Uwsgi => "#8a97a8",
    }
}
