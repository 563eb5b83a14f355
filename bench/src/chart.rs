//! Charts: bars in groups, as SVG.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::peers::Peer;

const WIDTH: i32 = 860;
const LABELS: i32 = 270;
const BAR: i32 = 20;
const GAP: i32 = 6;
const INK: RGBColor = RGBColor(0x1b, 0x1b, 0x1b);

/// Bars that are compared with each other.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<(Peer, f64)>,
}

/// Renders the groups as SVG, with its own background so that it reads on light and dark pages alike.
pub(crate) fn render(title: &str, groups: &[Group]) -> anyhow::Result<String> {
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = 60 + groups.len() as i32 * 48 + bars as i32 * (BAR + GAP);
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (20, 27), text(22, FontStyle::Bold, HPos::Left)))?;
    let mut y = 60;
    for group in groups {
        let longest = group.bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
        root.draw(&Text::new(group.title.clone(), (20, y + 10), text(16, FontStyle::Bold, HPos::Left)))?;
        y += 26;
        for (peer, value) in &group.bars {
            let end = LABELS + (value / longest * f64::from(WIDTH - LABELS - 110)) as i32;
            let middle = y + BAR / 2;
            root.draw(&Rectangle::new([(LABELS, y), (end, y + BAR)], colour(*peer).filled()))?;
            root.draw(&Text::new(peer.name(), (LABELS - 8, middle), text(16, FontStyle::Normal, HPos::Right)))?;
            root.draw(&Text::new(format!("{value:.1}"), (end + 6, middle), text(16, FontStyle::Normal, HPos::Left)))?;
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
    if peer.is_licorne() {
        RGBColor(0x7b, 0x3f, 0xe4)
    } else if peer.is_limit() {
        RGBColor(0xc9, 0xc9, 0xc9)
    } else {
        RGBColor(0x8a, 0x97, 0xa8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the bars begin and how wide they are.
    fn widths(svg: &str) -> Vec<i32> {
        let of = |line: &str| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok();
        let bars = svg.lines().filter(|line| line.starts_with("<rect x=\"270\""));
        bars.filter_map(of).collect()
    }

    #[test]
    fn the_longest_bar_of_each_group_fills_it_and_the_others_are_in_proportion() {
        let group = |bars: &[(Peer, f64)]| Group { title: "hello & more".into(), bars: bars.to_vec() };
        let groups = [group(&[(Peer::Licorne, 10.0), (Peer::Unicorn, 40.0)]), group(&[(Peer::Licorne, 0.5)])];
        let svg = render("CPU", &groups).expect("a chart");
        assert_eq!(widths(&svg), [120, 480, 480]);
        assert!(svg.contains("hello &amp; more") && svg.contains("#7B3FE4"), "{svg}");
    }

    #[test]
    fn a_group_in_which_all_is_zero_has_bars_of_no_width() {
        let groups = [Group { title: "nothing".into(), bars: vec![(Peer::Licorne, 0.0)] }];
        assert_eq!(widths(&render("CPU", &groups).expect("a chart")), [0]);
    }
}
