//! The chart: CPU time per request, one group of bars for each scenario.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::peers::Peer;
use crate::throughput::Table;

const WIDTH: i32 = 760;
const LABELS: i32 = 130;
const BAR: i32 = 20;
const GAP: i32 = 6;
const INK: RGBColor = RGBColor(0x1b, 0x1b, 0x1b);

/// Renders the tables as SVG, with its own background so that it reads on light and dark pages alike.
pub(crate) fn render(tables: &[Table]) -> anyhow::Result<String> {
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    let height = 60 + tables.len() as i32 * 48 + rows as i32 * (BAR + GAP);
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = "CPU microseconds per request (less is better)";
    root.draw(&Text::new(title, (20, 27), text(22, FontStyle::Bold, HPos::Left)))?;
    let mut y = 60;
    for table in tables {
        let longest = table.rows.iter().map(|row| row.cpu_us).fold(1.0, f64::max);
        root.draw(&Text::new(table.title, (20, y + 10), text(16, FontStyle::Bold, HPos::Left)))?;
        y += 26;
        for row in &table.rows {
            let end = LABELS + (row.cpu_us / longest * f64::from(WIDTH - LABELS - 110)) as i32;
            let middle = y + BAR / 2;
            root.draw(&Rectangle::new([(LABELS, y), (end, y + BAR)], colour(row.peer).filled()))?;
            root.draw(&Text::new(row.peer.name(), (LABELS - 8, middle), text(16, FontStyle::Normal, HPos::Right)))?;
            root.draw(&Text::new(
                format!("{:.1}", row.cpu_us),
                (end + 6, middle),
                text(16, FontStyle::Normal, HPos::Left),
            ))?;
            y += BAR + GAP;
        }
        y += 22;
    }
    root.present()?;
    drop(root);
    Ok(svg)
}

/// Text of this size (plotters writes four fifths of it as `font-size`) that stands to the left or the right of its place.
fn text(size: i32, weight: FontStyle, side: HPos) -> TextStyle<'static> {
    ("system-ui, sans-serif", size, weight).into_font().color(&INK).pos(Pos::new(side, VPos::Center))
}

fn colour(peer: Peer) -> RGBColor {
    match peer {
        Peer::Licorne => RGBColor(0x7b, 0x3f, 0xe4),
        Peer::BareClose | Peer::BareEpoll => RGBColor(0xc9, 0xc9, 0xc9),
        Peer::Unicorn | Peer::Puma | Peer::Uwsgi => RGBColor(0x8a, 0x97, 0xa8),
    }
}
