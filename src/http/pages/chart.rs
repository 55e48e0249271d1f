//! Charts as SVG. They carry no style: each part has a colour of its own that
//! stands for what it is, and the page's style sheet says how that looks, so that
//! one chart is right in light and in dark. The same figures stand in a table.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::words;
use crate::money::{Currency, Minor};

/// Colours that stand for something; `style.css` knows them.
const ATTRIBUTED: RGBColor = RGBColor(0, 0, 1);
const UNATTRIBUTED: RGBColor = RGBColor(0, 0, 2);
const REVERSED: RGBColor = RGBColor(0, 0, 3);
const LINE: RGBColor = RGBColor(0, 0, 4);
const INK: RGBColor = RGBColor(0, 0, 5);
const AXIS: RGBColor = RGBColor(0, 0, 6);

/// A chart's width and height in pixels, and the room between labels below it.
#[derive(Clone, Copy)]
pub(super) struct Size {
    width: u32,
    height: u32,
    label_px: usize,
}

/// For a wide screen.
pub(super) const WIDE: Size = Size {
    width: 860,
    height: 240,
    label_px: 64,
};

/// For a phone.
pub(super) const NARROW: Size = Size {
    width: 360,
    height: 220,
    label_px: 56,
};

/// The size of a trend beside a name, in pixels.
const TREND: (u32, u32) = (120, 28);

/// Steps along the lower edge for each bar, of which one on each side stays free.
const STEPS: i64 = 10;

/// Room for what stands beside and below, in pixels.
const BESIDE_PX: u32 = 52;
const BELOW_PX: u32 = 24;

/// One bar.
#[derive(Clone, Debug, Default)]
pub(super) struct Bar {
    /// What stands below it.
    pub(super) label: String,
    /// Upwards, in minor units.
    pub(super) attributed: Minor,
    /// On top of it.
    pub(super) unattributed: Minor,
    /// Downwards.
    pub(super) reversed: Minor,
}

type Drawn<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bars above and below a line; nothing where it cannot be drawn, since the
/// figures stand in a table as well.
pub(super) fn bars(bars: &[Bar], currency: Currency, size: Size) -> String {
    drawn((size.width, size.height), |root| {
        draw_bars(root, bars, currency, size)
    })
}

/// A trend beside a name.
pub(super) fn trend(values: &[Minor]) -> String {
    drawn(TREND, |root| draw_trend(root, values))
}

fn drawn(
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn<()>,
) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let result = draw(&root).and_then(|()| Ok(root.present()?));
    drop(root);
    if let Err(error) = result {
        tracing::error!(%error, "a chart cannot be drawn");
        svg.clear();
    }
    svg
}

/// How far a chart reaches down and up: a little further than its bars.
fn reach(bars: &[Bar]) -> (Minor, Minor) {
    let up = |bar: &Bar| {
        let both = bar.attributed.saturating_add(bar.unattributed);
        both.max(bar.attributed).max(-bar.reversed)
    };
    let high = bars.iter().map(up).max().unwrap_or(0).max(0);
    let down = |bar: &Bar| bar.attributed.min(-bar.reversed).min(0);
    let low = bars.iter().map(down).min().unwrap_or(0);
    let room = (high - low) / 12;
    let low = if low < 0 { low - room } else { 0 };
    (low, (high + room).max(low + 1).max(1))
}

fn draw_bars(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    bars: &[Bar],
    currency: Currency,
    size: Size,
) -> Drawn<()> {
    let (low, high) = reach(bars);
    let count = i64::try_from(bars.len())?;
    let ink = ("sans-serif", 14).into_font().color(&INK);
    let mut chart = ChartBuilder::on(root)
        .margin_top(8)
        .margin_right(4)
        .x_label_area_size(BELOW_PX)
        .y_label_area_size(BESIDE_PX)
        .build_cartesian_2d(0..count * STEPS, low..high)
        .map_err(|error| error.to_string())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(5)
        .y_label_formatter(&|minor| words::short(currency, *minor))
        .label_style(ink.clone())
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE)
        .axis_style(TRANSPARENT)
        .draw()
        .map_err(|error| error.to_string())?;
    let mut rectangles = Vec::new();
    for (at, bar) in (0..).zip(bars) {
        let (left, right) = (at * STEPS + 1, (at + 1) * STEPS - 1);
        let mut put = |from: Minor, to: Minor, colour: RGBColor| {
            if from != to {
                let corners = [(left, from), (right, to)];
                rectangles.push(Rectangle::new(corners, colour.filled()));
            }
        };
        put(0, bar.attributed, ATTRIBUTED);
        let above = bar.attributed.max(0);
        put(above, above + bar.unattributed, UNATTRIBUTED);
        put(0, -bar.reversed, REVERSED);
    }
    chart
        .draw_series(rectangles)
        .map_err(|error| error.to_string())?;
    let zero = PathElement::new([(0, 0), (count * STEPS, 0)], AXIS);
    chart
        .draw_series([zero])
        .map_err(|error| error.to_string())?;
    let wide = usize::try_from(size.width.saturating_sub(BESIDE_PX))?;
    let fit = (wide / size.label_px).max(1);
    let every = bars.len().div_ceil(fit).max(1);
    let middle = Pos::new(HPos::Center, VPos::Bottom);
    for (at, bar) in (0..).zip(bars).step_by(every) {
        let (across, _) = chart.backend_coord(&(at * STEPS + STEPS / 2, 0));
        let place = (across, i32::try_from(size.height)? - 6);
        let label = Text::new(bar.label.clone(), place, ink.clone().pos(middle));
        root.draw(&label).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn draw_trend(root: &DrawingArea<SVGBackend<'_>, Shift>, values: &[Minor]) -> Drawn<()> {
    let count = i64::try_from(values.len())?;
    let high = values.iter().copied().max().unwrap_or(0).max(1);
    let low = values.iter().copied().min().unwrap_or(0).min(0);
    let mut chart = ChartBuilder::on(root)
        .margin(1)
        .build_cartesian_2d(0..(count * STEPS).max(1), low..high)
        .map_err(|error| error.to_string())?;
    let bars = (0..).zip(values).filter(|(_, value)| **value != 0);
    let bars = bars.map(|(at, value): (i64, _)| {
        let corners = [(at * STEPS + 1, 0), ((at + 1) * STEPS - 1, *value)];
        let colour = if *value < 0 { REVERSED } else { ATTRIBUTED };
        Rectangle::new(corners, colour.filled())
    });
    chart.draw_series(bars).map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month() -> Vec<Bar> {
        let bar = |day: i64| Bar {
            label: format!("{day} Jun"),
            attributed: day * 10_000,
            unattributed: day * 100,
            reversed: day * 1_000,
        };
        (1..31).map(bar).collect()
    }

    #[test]
    fn a_chart_has_a_bar_for_everything_and_no_style() {
        let svg = bars(&month(), "USD".parse().unwrap(), WIDE);
        for colour in ["#000001", "#000002", "#000003"] {
            let rectangles = svg.matches(&format!("fill=\"{colour}\"")).count();
            assert_eq!(rectangles, 30, "{colour}");
        }
        assert!(svg.contains("1 Jun"));
        // The policy of the page allows no style inside it.
        assert!(!svg.contains("style="), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn nothing_and_one_huge_amount_are_drawn_too() {
        let nothing = bars(&[], "USD".parse().unwrap(), NARROW);
        assert!(nothing.contains("<svg"));
        let one = Bar {
            label: "June".to_owned(),
            attributed: crate::money::LARGEST_MINOR * 1_000,
            reversed: -5,
            ..Bar::default()
        };
        assert!(bars(&[one], "JPY".parse().unwrap(), NARROW).contains("#000001"));
        assert!(trend(&[0, 5, -3]).contains("#000003"));
        assert!(trend(&[]).contains("<svg"));
    }
}
